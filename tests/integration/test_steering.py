"""Orders: each one's effect and its record are one transaction, and of two people who act at once one acts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from jobs.store import steering, workers
from jobs.store.database import Pool, open_pool
from jobs.store.ids import MalformedIdError
from jobs.store.steering import LimitScope, MalformedOrderError, Order, PauseScope, Selection, Stale, Unknown
from jobs.store.workers import Station
from tests import builders
from tests.integration.switch_parts import EVERY_ID_TYPE, require
from workers.demo.main_app import IdType

ORDER = Order(actor="ines", via="cli", reason="the relay is on fire")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=4)
    yield pool
    await pool.close()


async def a_run(db: asyncpg.Connection, *, members: int = 2) -> int:
    organization = await builders.an_organization(db, members=members)
    return await require(db, organization.id, organization.admin.id)


async def verbs(db: asyncpg.Connection) -> list[str]:
    return [action.verb for action in reversed(await steering.list_actions(db))]


async def test_a_run_is_paused_once_and_resumed_once(db: asyncpg.Connection) -> None:
    run = await a_run(db)
    assert await steering.pause(db, ORDER, PauseScope.RUN, str(run))
    assert not await steering.pause(db, Order(actor="omar", via="console", reason="me too"), PauseScope.RUN, f"0{run}")
    [paused] = await steering.list_pauses(db)
    assert (paused.scope, paused.subject, paused.paused_by, paused.reason) == ("run", str(run), "ines", ORDER.reason)
    assert paused.waiting_runs == 1

    assert await steering.resume(db, ORDER, PauseScope.RUN, str(run))
    assert not await steering.resume(db, ORDER, PauseScope.RUN, str(run))
    assert await steering.list_pauses(db) == []
    assert await verbs(db) == ["pause", "resume"]


async def test_an_action_says_who_by_which_way_why_and_on_what(db: asyncpg.Connection) -> None:
    run = await a_run(db)
    await steering.pause(db, Order(actor=" ines ", via="api", reason=" two words "), PauseScope.RUN, str(run))
    [action] = await steering.list_actions(db, run_id=run)
    assert (action.actor, action.via, action.verb, action.reason) == ("ines", "api", "pause", "two words")
    assert (action.scope, action.subject, action.run_id) == ("run", str(run), run)
    assert action.organization_id == await db.fetchval("SELECT organization_id FROM portcullis.run WHERE run_id = $1", run)
    assert await steering.list_actions(db, run_id=run + 1) == []
    assert await steering.list_actions(db, before=action.action_id) == []


@EVERY_ID_TYPE
async def test_an_organization_is_paused_under_the_spelling_that_its_batches_are_compared_with(
    db: asyncpg.Connection, id_type: IdType
) -> None:
    organization = await builders.an_organization(db)
    run = await require(db, organization.id, organization.admin.id)
    await steering.pause(
        db, ORDER, PauseScope.ORGANIZATION, str(organization.id).upper() if id_type is IdType.UUID else str(organization.id)
    )
    assert await db.fetchval("SELECT portcullis.is_paused($1, $2, 'enforce')", run, organization.id)
    assert [action.organization_id for action in await steering.list_actions(db, organization_id=organization.id)] == [organization.id]
    assert await steering.resume(db, ORDER, PauseScope.ORGANIZATION, str(organization.id))
    assert not await db.fetchval("SELECT portcullis.is_paused($1, $2, 'enforce')", run, organization.id)


@pytest.mark.parametrize(
    ("scope", "subject", "error", "words"),
    [
        (PauseScope.RUN, "99", Unknown, "no run 99"),
        (PauseScope.RUN, "-1", MalformedIdError, "'-1' is no number of a run"),
        (PauseScope.RUN, "", MalformedIdError, "is no number"),
        (PauseScope.RUN, "9" * 19, MalformedIdError, "is no number"),
        pytest.param(PauseScope.RUN, "9" * 5_000, MalformedIdError, "is no number", id="endless"),
        (PauseScope.ORGANIZATION, "4711", Unknown, "no organization 4711"),
        (PauseScope.ORGANIZATION, "x", MalformedIdError, "'x' is no organization id"),
        (PauseScope.QUEUE, "letters", MalformedOrderError, "enforce and notify"),
        (PauseScope.EVERYTHING, "7", MalformedOrderError, "takes no name"),
    ],
)
async def test_what_is_not_there_is_not_paused(
    db: asyncpg.Connection, scope: PauseScope, subject: str, error: type[Exception], words: str
) -> None:
    for order in (steering.pause, steering.resume):
        with pytest.raises(error, match=words):
            await order(db, ORDER, scope, subject)
    assert (await steering.list_pauses(db), await verbs(db)) == ([], [])


@pytest.mark.parametrize(
    ("actor", "reason"),
    [("", "why"), ("ines", " \n "), ("ines", "x" * 1001), ("i" * 201, "why"), ("ines", "a\0b"), ("\ud800", "why")],
    ids=["nobody", "no reason", "a novel", "a long name", "a zero", "half a character"],
)
def test_an_order_names_who_and_why(actor: str, reason: str) -> None:
    with pytest.raises(MalformedOrderError):
        Order(actor=actor, via="cli", reason=reason)


async def test_a_run_that_is_over_is_not_paused(db: asyncpg.Connection) -> None:
    run = await a_run(db)
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now(), has_open_batches = false")
    with pytest.raises(Stale, match=f"Run {run} is done and has nothing left to pause"):
        await steering.pause(db, ORDER, PauseScope.RUN, str(run))


async def test_of_two_who_cancel_at_once_one_cancels(pool: Pool) -> None:
    run = await a_run(pool)
    ended = await asyncio.gather(*(steering.cancel(pool, ORDER, run) for _ in range(4)), return_exceptions=True)
    assert sorted(str(type(end).__name__) for end in ended) == ["NoneType", "Stale", "Stale", "Stale"]
    assert [action.verb for action in await steering.list_actions(pool, run_id=run)] == ["cancel"]
    with pytest.raises(Unknown, match="no run 99"):
        await steering.cancel(pool, ORDER, 99)


async def test_of_two_who_pause_or_resume_at_once_one_does(pool: Pool) -> None:
    run = str(await a_run(pool))
    for order in (steering.pause, steering.resume):
        assert sorted(await asyncio.gather(*(order(pool, ORDER, PauseScope.RUN, run) for _ in range(4)))) == [False, False, False, True]
    assert len(await steering.list_actions(pool)) == 2


async def test_an_order_in_a_transaction_that_fails_leaves_nothing(pool: Pool) -> None:
    run = await a_run(pool)

    async def pause_and_fail() -> None:
        async with pool.acquire() as db, db.transaction():
            await steering.pause(db, ORDER, PauseScope.RUN, str(run))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await pause_and_fail()
    assert (await steering.list_pauses(pool), await steering.list_actions(pool)) == ([], [])


async def test_limits_are_set_over_one_another_and_cleared(db: asyncpg.Connection) -> None:
    organization = await builders.an_organization(db)
    assert await steering.set_limit(db, ORDER, LimitScope.DOMAIN, " Example.COM ", 2.5) is None
    assert await steering.set_limit(db, ORDER, LimitScope.DOMAIN, "example.com", 0) == 2.5
    await steering.set_limit(db, ORDER, LimitScope.ORGANIZATION, str(organization.id), 1)
    await steering.set_limit(db, ORDER, LimitScope.QUOTA, "", 1000)
    assert [(limit.scope, limit.subject, limit.amount) for limit in await steering.list_limits(db)] == [
        ("domain", "example.com", 0),
        ("organization", str(organization.id), 1),
        ("quota", "", 1000),
    ]
    assert await steering.clear_limit(db, ORDER, LimitScope.QUOTA) == 1000
    with pytest.raises(Stale, match="No limit is set for quota"):
        await steering.clear_limit(db, ORDER, LimitScope.QUOTA)
    actions = await steering.list_actions(db)
    assert [action.verb for action in actions] == ["clear_limit", "set_limit", "set_limit", "set_limit", "set_limit"]
    assert actions[3].details == {"amount": 0, "before": 2.5}
    assert actions[2].organization_id == organization.id


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf")])
async def test_what_is_no_limit_is_refused(db: asyncpg.Connection, amount: float) -> None:
    with pytest.raises(MalformedOrderError, match="is no limit"):
        await steering.set_limit(db, ORDER, LimitScope.RELAY, "", amount)
    with pytest.raises(MalformedIdError):
        await steering.set_limit(db, ORDER, LimitScope.ORGANIZATION, "x", 1)
    assert await steering.list_limits(db) == []


async def test_a_breaker_is_closed_wherever_it_is_seen_open(db: asyncpg.Connection) -> None:
    await db.execute(
        "INSERT INTO portcullis.breaker (scope, subject, seen_by, state, cause, retry_at) VALUES"
        " ('relay', 'mx:25', 'a:1', 'open', '421', now()), ('relay', 'mx:25', 'a:2', 'probing', '421', now()),"
        " ('domain', 'example.com', '', 'open', '451', now())"
    )
    assert await steering.close_breaker(db, ORDER, "relay", "mx:25") == 2
    with pytest.raises(Stale, match="closed already"):
        await steering.close_breaker(db, ORDER, "relay", "mx:25")
    assert await steering.close_breaker(db, ORDER, "relay", "mx:25", hold=timedelta(hours=1)) == 2
    with pytest.raises(Unknown, match="No breaker letter report"):
        await steering.close_breaker(db, ORDER, "letter", "report")
    first, *others = await steering.list_breakers(db)
    assert (first.scope, first.state, first.changed_by) == ("domain", "open", None)
    assert {(breaker.state, breaker.changed_by, breaker.held_closed_until is None) for breaker in others} == {("closed", "ines", False)}
    assert await verbs(db) == ["close_breaker", "close_breaker"]


async def test_the_selection_of_dead_batches_says_which(db: asyncpg.Connection) -> None:
    with pytest.raises(MalformedOrderError):
        Selection()
    with pytest.raises(MalformedOrderError):
        Selection(everything=True, run_id=1)
    run = await a_run(db)
    for selection, error in (
        (Selection(batch_id=2**40), Unknown),
        (Selection(run_id=2**40), Unknown),
        (Selection(run_id=run), Stale),
        (Selection(fingerprint=uuid4().hex), Stale),
        (Selection(everything=True), Stale),
    ):
        for order in (steering.replay, steering.discard):
            with pytest.raises(error):
                await order(db, ORDER, selection, most=10)
    assert await verbs(db) == []


async def test_a_worker_that_is_told_to_drain(db: asyncpg.Connection) -> None:
    await workers.announce(db, "host:7/enforce", "enforce", 2, "1")
    assert await steering.drain_worker(db, ORDER, "host:7")
    assert not await steering.drain_worker(db, ORDER, "host:7/enforce")
    [seen] = await steering.list_workers(db)
    assert (seen.drain_ordered_by, seen.is_draining) == ("ines", False)
    with pytest.raises(Unknown):
        await steering.drain_worker(db, ORDER, "host:8")
    await db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '31 seconds', drain_ordered_at = NULL")
    with pytest.raises(Stale, match="said nothing for 30 seconds"):
        await steering.drain_worker(db, ORDER, "host:7")
    assert await verbs(db) == ["drain"]


async def test_an_order_to_drain_counts_by_the_queues_that_hear_of_it(db: asyncpg.Connection) -> None:
    for queue in ("enforce", "notify"):
        await workers.announce(db, f"host:7/{queue}", queue, 2, "1")
    await db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '31 seconds' WHERE queue = 'enforce'")
    assert await steering.drain_worker(db, ORDER, "host:7")
    assert not await steering.drain_worker(db, ORDER, "host:7")
    assert await verbs(db) == ["drain"]


async def test_an_order_to_end_is_not_for_the_next_process_of_that_name(db: asyncpg.Connection) -> None:
    old = Station(host="host", pid=7, started_at=datetime(2026, 1, 1, tzinfo=UTC))
    new = Station(host="host", pid=7, started_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert not await workers.announce(db, "host:7/enforce", "enforce", 2, "1", station=old)
    await steering.drain_worker(db, ORDER, "host:7")
    assert await workers.announce(db, "host:7/enforce", "enforce", 2, "1", station=old)
    assert not await workers.announce(db, "host:7/enforce", "enforce", 2, "1", station=new)
    [seen] = await steering.list_workers(db)
    assert (seen.host, seen.pid, seen.started_at, seen.drain_ordered_at) == ("host", 7, new.started_at, None)


async def test_a_worker_is_shown_with_what_it_still_holds(db: asyncpg.Connection) -> None:
    run = await a_run(db)
    held, lost = (row["batch_id"] for row in await db.fetch("SELECT batch_id FROM portcullis.batch WHERE run_id = $1 ORDER BY 1", run))
    await db.execute("UPDATE portcullis.batch SET leased_until = now() + interval '1 minute', holder = 'host:7' WHERE batch_id = $1", held)
    await workers.announce(db, "host:7/enforce", "enforce", 2, "1", held=[held, lost])
    [seen] = await steering.list_workers(db)
    assert seen.held == 2
    [batch] = seen.batches
    assert (batch["batch_id"], batch["run_id"], batch["stage"]) == (held, run, "plan")
    assert 0 < batch["lease_left_seconds"] <= 60
