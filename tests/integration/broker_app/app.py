"""A worker module as small as can be, for `dramatiq tests.integration.broker_app.app:broker`. Writes what happens to $DIARY."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dramatiq

from tests.integration.broker_app.bench import a_ring
from workers.broker import Quarantined, Resources, open_broker


def note(line: str) -> None:
    with Path(os.environ["DIARY"]).open("a") as diary:
        diary.write(f"{line}\n")


def quarantine(kept: Quarantined) -> None:
    note(f"quarantined {kept.reason}")


@asynccontextmanager
async def open_() -> AsyncIterator[None]:
    if "REFUSE" in os.environ:
        raise OSError("the pool is closed today")
    note(f"opened on {type(asyncio.get_running_loop()).__module__}")
    try:
        yield
    finally:
        note("closed")


async def say(line: str) -> None:
    note(line)


async def clock(sent: float) -> None:
    """Say how long the message took; the clock is the same in every process of a machine."""
    note(f"took {time.perf_counter() - sent:.6f}")


async def stay(seconds: float) -> None:
    """Go on after a shutdown has begun."""
    note("staying")
    await asyncio.sleep(seconds)
    note("stayed")


async def stay_until_drained() -> None:
    note("waiting")
    await broker.drain.wait()
    note("drained")


async def stay_for_ever() -> None:
    note("staying")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")


async def block() -> None:
    note("blocking")
    time.sleep(60)  # noqa: ASYNC251 - this is what the watchdog is for


ACTORS = (say, clock, stay, stay_until_drained, stay_for_ever, block)

broker = open_broker(
    redis_url=os.environ["REDIS_URL"],
    key_ring=a_ring(),
    allowed_actors=frozenset({function.__name__ for function in ACTORS} | {"say_elsewhere"}),
    quarantine=quarantine,
    stuck_seconds=2,
)
broker.add_middleware(Resources(open_))
for function in ACTORS:
    dramatiq.actor(broker=broker, queue_name="enforce")(function)
dramatiq.actor(broker=broker, actor_name="say_elsewhere", queue_name="notify")(say)
