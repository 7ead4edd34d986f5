"""A process whose vital task died is of no use: it ends, unless the task was only told to."""

import asyncio

from workers.vital import vital


async def test_an_error_ends_the_process() -> None:
    ended: list[int] = []

    async def fail() -> None:
        raise LookupError("a bug")

    task = asyncio.create_task(fail())
    vital(task, "recorder", crash=ended.append)
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert ended == [70]


async def test_being_cancelled_or_coming_to_an_end_does_not() -> None:
    ended: list[int] = []
    tasks = [asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0, 60)]
    for task in tasks:
        vital(task, "recorder", crash=ended.append)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert ended == []


async def test_several_that_were_gathered_and_cancelled_do_not_either() -> None:
    ended: list[int] = []
    tasks = asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))
    vital(tasks, "orders and breakers", crash=ended.append)
    await asyncio.sleep(0)
    tasks.cancel()
    await asyncio.gather(tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert tasks.done()
    assert ended == []
