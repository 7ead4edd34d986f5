"""A claim that is stale writes nothing into the ledger, also where it comes in one statement with a good one, or at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.domain.letters import LetterState
from jobs.domain.outcomes import Outcome
from jobs.resources import Resources
from jobs.store import deliveries, runs
from jobs.store.batches import Claim, Stage, claim
from jobs.store.deliveries import Letter, Settled
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import a_worker, cancel, connected, require, waits, work

Db: TypeAlias = asyncpg.Connection

ACCEPTED = Outcome(state=LetterState.ACCEPTED)
REFUSED = Outcome(state=LetterState.REFUSED, reason="no such user")


@pytest.fixture
async def resources(database_url: str) -> AsyncIterator[Resources]:
    async with a_worker(database_url) as shared:
        yield shared


async def a_run_that_owes(db: Db, resources: Resources, letters: int) -> int:
    """A run whose sessions are ended and that owes that many members, beside the admin, a letter."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    for _ in range(letters):
        await a_member(db, organization_id)
    run_id = await require(db, organization_id, admin)
    await work(resources, run_id, Stage.PLAN)
    await work(resources, run_id, Stage.ENFORCE)
    return run_id


async def claim_letters(db: Db, run_id: int) -> Claim:
    row = await db.fetchrow("SELECT batch_id, token FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice' AND urgency = 0", run_id)
    held = await claim(
        db,
        run_id=run_id,
        batch_id=row["batch_id"],
        token=row["token"],
        stages=(Stage.NOTICE,),
        lease=timedelta(minutes=1),
        holder="test",
    )
    assert held is not None
    return held


async def mark(resources: Resources, held: Claim) -> list[Letter]:
    return await deliveries.mark(resources.pool, held, limit=100, members=None, lease=timedelta(minutes=1))


async def let_the_lease_run_out(db: Db) -> None:
    await db.execute("UPDATE portcullis.batch SET leased_until = now() - interval '1 second' WHERE leased_until IS NOT NULL")


def settled(held: Claim, letter: Letter, outcome: Outcome) -> Settled:
    return Settled(claim=held, member_id=letter.member_id, outcome=outcome)


async def states(db: Db, run_id: int) -> dict[Any, str]:
    rows = await db.fetch(
        "SELECT member_id, state FROM portcullis.delivery WHERE run_id = $1 AND verdict = 'unprotected' ORDER BY 1", run_id
    )
    return {row["member_id"]: row["state"] for row in rows}


async def counters_add_up(db: Db) -> bool:
    """Whether each batch counts what the ledger holds."""
    wrong = await db.fetchval(
        "SELECT count(*) FROM portcullis.batch b JOIN LATERAL (SELECT count(*) FILTER (WHERE state = 'sending') AS sending,"
        " count(*) FILTER (WHERE state = 'accepted') AS accepted, count(*) FILTER (WHERE state = 'refused') AS refused,"
        " count(*) FILTER (WHERE state = 'uncertain') AS uncertain FROM portcullis.delivery d WHERE d.batch_id = b.batch_id) d ON true"
        " WHERE (b.sending, b.accepted, b.refused, b.uncertain) <> (d.sending, d.accepted, d.refused, d.uncertain)"
    )
    return bool(wrong == 0)


@pytest.mark.survives("a worker asleep for longer than its lease, then awake", "I8")
async def test_a_stale_outcome_beside_a_good_one_of_its_batch_is_left_out(db: Db, resources: Resources) -> None:
    """One process held a batch twice: under a claim that ran out, and again. What it learned under the first is nobody's any more."""
    run_id = await a_run_that_owes(db, resources, letters=2)
    stale = await claim_letters(db, run_id)
    first, second = await mark(resources, stale)
    await let_the_lease_run_out(db)
    good = await claim_letters(db, run_id)
    await deliveries.reclaim(resources.pool, good)
    assert len(await mark(resources, good)) == 2
    written = await deliveries.record(resources.pool, [settled(stale, first, REFUSED), settled(good, second, ACCEPTED)])
    assert written == 1
    assert await states(db, run_id) == {first.member_id: "sending", second.member_id: "accepted"}
    assert await counters_add_up(db)


async def test_an_outcome_that_comes_as_its_batch_is_settled_stands(db: Db, database_url: str, resources: Resources) -> None:
    """The lease ran out, the run was cancelled, and the mailer's answer arrives at the moment in which the batch is settled."""
    run_id = await a_run_that_owes(db, resources, letters=2)
    held = await claim_letters(db, run_id)
    first, second = await mark(resources, held)
    await cancel(db, run_id)
    await let_the_lease_run_out(db)
    [batch] = [one for one in await runs.find_unsettled(db, run_id) if one.batch_id == held.batch_id]
    async with connected(database_url, 2) as [mailer, finisher]:
        transaction = mailer.transaction()
        await transaction.start()
        assert await deliveries.record(mailer, [settled(held, first, ACCEPTED)]) == 1
        settling = asyncio.create_task(runs.settle(finisher, run_id, batch, "notice"))
        assert await waits(db, finisher, settling)
        await transaction.commit()
        assert await settling
    assert await states(db, run_id) == {first.member_id: "accepted", second.member_id: "uncertain"}
    assert await counters_add_up(db)
    assert await deliveries.record(resources.pool, [settled(held, second, ACCEPTED)]) == 0, "the claim is stale now"
