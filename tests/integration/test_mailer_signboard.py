"""What mailers show of their relays in `portcullis.breaker`, and that they obey who closes one."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from jobs.breakers import Breakers
from jobs.store.database import Pool, close_pool, open_pool
from tests.mailer_parts import a_mailer, send, some_envelopes
from tests.relay import Relay, Rule, Stage
from workers.mailer import PooledMailer, Signboard

REFUSES = Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now")
HOLDER = "host:17"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size=2)
    yield opened
    await close_pool(opened)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with Relay([REFUSES]) as running:
        yield running


@pytest.fixture
async def mailer(relay: Relay) -> AsyncIterator[PooledMailer]:
    """A mailer that has found its relay away."""
    opened = a_mailer(relay)
    await send(opened, some_envelopes(3))
    yield opened
    await opened.aclose()


async def rows(db: asyncpg.Connection) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await db.fetch("SELECT * FROM portcullis.breaker ORDER BY seen_by")
    return found


async def close(db: asyncpg.Connection, *, hold: str | None = None) -> None:
    await db.execute(
        "UPDATE portcullis.breaker SET state = 'closed', retry_at = NULL, held_closed_until = now() + $1::text::interval,"
        " changed_by = 'ops'",
        hold,
    )


async def test_a_relay_that_is_away_is_shown_with_its_words_since_when_and_by_whom(
    db: asyncpg.Connection, pool: Pool, mailer: PooledMailer
) -> None:
    await Signboard(pool, HOLDER, mailer).show()
    (row,) = await rows(db)
    trouble = mailer.status().trouble
    assert trouble is not None
    assert (row["scope"], row["subject"], row["seen_by"], row["state"]) == ("relay", mailer.relay, HOLDER, "open")
    assert row["cause"] == "connect 421 4.3.2 not now"
    assert row["opened_at"] == trouble.since
    assert row["retry_at"] > row["changed_at"]


async def test_once_it_answers_nothing_is_shown(db: asyncpg.Connection, pool: Pool, mailer: PooledMailer, relay: Relay) -> None:
    board = Signboard(pool, HOLDER, mailer)
    await board.show()
    relay.rules.clear()
    mailer.close_breaker(mailer.relay, seconds=0)
    await send(mailer, some_envelopes(1))
    await board.show()
    assert await rows(db) == []


async def test_who_closes_it_is_obeyed(db: asyncpg.Connection, pool: Pool, mailer: PooledMailer) -> None:
    board, breakers = Signboard(pool, HOLDER, mailer), Breakers(pool, holder=HOLDER)
    await board.show()
    await close(db)
    await breakers.look()
    await board.obey(breakers.relays)
    assert mailer.retry_in_seconds == 0
    assert await rows(db) == []


async def test_held_closed_it_stays_so_and_the_hold_stays_to_be_seen(db: asyncpg.Connection, pool: Pool, mailer: PooledMailer) -> None:
    board, breakers = Signboard(pool, HOLDER, mailer), Breakers(pool, holder=HOLDER)
    await board.show()
    await close(db, hold="1 hour")
    await breakers.look()
    await board.obey(breakers.relays)
    await send(mailer, some_envelopes(3))
    assert 0 < mailer.retry_in_seconds <= 1
    await board.show()
    (row,) = await rows(db)
    assert row["state"] == "closed"


async def test_a_mailer_that_ends_takes_its_words_back_and_leaves_those_of_others(
    db: asyncpg.Connection, pool: Pool, mailer: PooledMailer
) -> None:
    boards = [Signboard(pool, holder, mailer) for holder in (HOLDER, "host:18")]
    for board in boards:
        await board.show()
    await boards[0].take_down()
    assert [row["seen_by"] for row in await rows(db)] == ["host:18"]


async def test_what_a_killed_mailer_said_is_forgotten_and_what_a_living_one_says_is_not(
    db: asyncpg.Connection, pool: Pool, mailer: PooledMailer
) -> None:
    for holder in (HOLDER, "host:18"):
        await Signboard(pool, holder, mailer).show()
    await db.execute("UPDATE portcullis.breaker SET changed_at = now() - interval '1 minute'")
    await db.execute("INSERT INTO portcullis.worker (worker, queue, threads, version) VALUES ($1, 'notify', 1, 'x')", f"{HOLDER}/notify")
    await Breakers(pool, holder="host:19").look()
    assert [row["seen_by"] for row in await rows(db)] == [HOLDER]
