"""What processes count reaches PostgreSQL once: told again, told by several, told by one that was cut off."""

import asyncio
import json
from collections.abc import AsyncIterator
from unittest.mock import patch

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from jobs.store import counts
from jobs.store.database import Pool, open_pool
from workers.metrics.lag import LoopLag
from workers.metrics.telling import Teller, telling


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=3)
    yield pool
    await pool.close()


class Process:
    """A process with a registry of its own."""

    def __init__(self, pool: Pool, name: str) -> None:
        self.registry = CollectorRegistry()
        self.letters = Counter("portcullis_letters", "Letters.", ["state"], registry=self.registry)
        self.seconds = Histogram("portcullis_batch_seconds", "Time.", buckets=(1, 10), registry=self.registry)
        self.teller = Teller(pool, process=name, kind="mailer", registry=self.registry)


async def sums(pool: Pool) -> dict[tuple[str, str], float]:
    return {(count.name, json.dumps(count.labels, sort_keys=True)): count.value for count in await counts.list_all(pool)}


async def test_what_two_processes_count_is_added_up(pool: Pool) -> None:
    one, other = Process(pool, "a:1"), Process(pool, "b:1")
    one.letters.labels("accepted").inc(3)
    one.seconds.observe(5)
    other.letters.labels("accepted").inc(4)
    other.letters.labels("refused").inc()
    await one.teller.tell()
    await other.teller.tell()
    one.letters.labels("accepted").inc()
    await one.teller.tell()
    assert await sums(pool) == {
        ("portcullis_letters_total", '{"state": "accepted"}'): 8,
        ("portcullis_letters_total", '{"state": "refused"}'): 1,
        ("portcullis_batch_seconds_bucket", '{"le": "10.0"}'): 1,
        ("portcullis_batch_seconds_bucket", '{"le": "+Inf"}'): 1,
        ("portcullis_batch_seconds_count", "{}"): 1,
        ("portcullis_batch_seconds_sum", "{}"): 5,
    }


async def test_what_has_not_risen_is_not_told_again(pool: Pool) -> None:
    process = Process(pool, "a:1")
    process.letters.labels("accepted").inc()
    for _ in range(3):
        await process.teller.tell()
    assert (await sums(pool)) == {("portcullis_letters_total", '{"state": "accepted"}'): 1}


async def test_a_telling_whose_answer_was_lost_counts_once(pool: Pool) -> None:
    process = Process(pool, "a:1")
    process.letters.labels("accepted").inc(5)
    add = counts.add

    async def add_and_lose_the_answer(*arguments: object, **named: object) -> None:
        await add(*arguments, **named)  # type: ignore[arg-type]
        raise ConnectionResetError

    with patch.object(counts, "add", add_and_lose_the_answer), pytest.raises(ConnectionResetError):
        await process.teller.tell()
    process.letters.labels("accepted").inc(2)
    await process.teller.tell()
    assert await sums(pool) == {("portcullis_letters_total", '{"state": "accepted"}'): 5}
    await process.teller.tell()
    assert await sums(pool) == {("portcullis_letters_total", '{"state": "accepted"}'): 7}


async def test_what_the_database_did_not_take_is_told_later(pool: Pool, db: asyncpg.Connection) -> None:
    process = Process(pool, "a:1")
    process.letters.labels("accepted").inc(5)
    async with db.transaction():
        await db.execute("LOCK portcullis.metric IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await process.teller.tell()
    process.letters.labels("accepted").inc()
    await process.teller.finish()
    assert await sums(pool) == {("portcullis_letters_total", '{"state": "accepted"}'): 6}


async def test_many_processes_telling_at_once_lose_nothing_and_do_not_deadlock(pool: Pool) -> None:
    processes = [Process(pool, f"host:{number}") for number in range(12)]

    async def work(process: Process) -> None:
        for _ in range(10):
            for state in ("refused", "accepted", "owed"):
                process.letters.labels(state).inc()
            await process.teller.tell()

    await asyncio.gather(*map(work, processes))
    assert sorted((await sums(pool)).values()) == [120, 120, 120]


async def test_a_process_is_seen_while_it_lives_and_tells_the_rest_when_it_ends(pool: Pool, db: asyncpg.Connection) -> None:
    from jobs import instruments  # noqa: PLC0415 -- the real registry

    async with telling(pool, process="here:7", kind="mailer"):
        async with asyncio.timeout(10):
            while not (seen := await counts.list_of_host(pool, "here")):  # noqa: ASYNC110 -- what is waited for happens in the database
                await asyncio.sleep(0.02)
        assert [(one.process, one.kind) for one in seen] == [("here:7", "mailer")]
        instruments.SESSIONS_ENDED.inc(41)
        await asyncio.sleep(0.05)
    told = await db.fetchval("SELECT value FROM portcullis.metric WHERE name = 'portcullis_sessions_ended_total'")
    assert told >= 41
    assert await counts.list_of_host(pool, "here") == []


async def test_a_host_is_not_taken_for_one_whose_name_begins_the_same(pool: Pool) -> None:
    await Process(pool, "worker-10:1").teller.tell()
    assert await counts.list_of_host(pool, "worker-1") == []
    assert len(await counts.list_of_host(pool, "worker-10")) == 1


async def test_a_blocked_event_loop_is_late_and_says_by_how_much() -> None:
    import time  # noqa: PLC0415 -- the one thing that a loop must not do

    lag = LoopLag("mailer")
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0.1)
    time.sleep(0.9)  # noqa: ASYNC251 -- on purpose
    await asyncio.sleep(0.1)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert 0.3 < lag.take() < 5
    assert lag.take() == 0
