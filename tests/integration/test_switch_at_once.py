"""The switch at two keyboards at once, and against workers in flight."""

import asyncio
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.errors import Obsolete
from jobs.store import runs
from jobs.store.batches import Stage
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import (
    a_worker,
    batches,
    cancel,
    claim_one,
    connected,
    enforce_all,
    gate,
    lift,
    live_runs,
    live_sessions,
    policy,
    refused,
    require,
    run,
    waits,
    work,
)

Db: TypeAlias = asyncpg.Connection


# Two at once.


@pytest.mark.survives("on, off, on within a second; two admins at once", "I4 I8")
async def test_two_admins_at_once_open_one_run(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    async with connected(database_url, 2) as [first, second]:
        transaction = first.transaction()
        await transaction.start()
        run_id = await require(first, organization_id, one)
        flip = asyncio.create_task(require(second, organization_id, other))
        assert await waits(db, second, flip)
        await transaction.commit()
        assert await flip == run_id
    assert await live_runs(db) == [run_id]
    assert await policy(db, organization_id) == (True, 1)


async def test_the_second_admin_succeeds_where_the_first_gave_up(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    async with connected(database_url, 2) as [first, second]:
        transaction = first.transaction()
        await transaction.start()
        given_up = await require(first, organization_id, one)
        flip = asyncio.create_task(require(second, organization_id, other))
        assert await waits(db, second, flip)
        await transaction.rollback()
        run_id = await flip
    assert run_id != given_up
    assert (await run(db, run_id))["requested_by"] == other


async def test_one_on_and_one_off_at_once_end_as_the_last_one_says(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    await require(db, organization_id, one)
    async with connected(database_url, 3) as [first, second, third]:
        transaction = first.transaction()
        await transaction.start()
        await lift(first, organization_id, one)
        off = asyncio.create_task(lift(second, organization_id, other))
        assert await waits(db, second, off)
        on = asyncio.create_task(require(third, organization_id, one))
        assert await waits(db, third, on)
        await transaction.commit()
        with refused("PC004"):
            await off
        run_id = await on
    assert await live_runs(db) == [run_id]
    assert await policy(db, organization_id) == (True, 3)


@pytest.mark.parametrize("flip", [require, lift])
async def test_whoever_lost_their_factor_while_they_waited_flips_nothing(db: Db, database_url: str, flip: Any) -> None:
    organization_id = await an_organization(db)
    admin, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    before = None
    if flip is lift:
        await require(db, organization_id, other)
        before = (True, 1)
    async with connected(database_url, 2) as [worker, waiting]:
        transaction = worker.transaction()
        await transaction.start()
        await worker.execute(runs.SHARE_ORGANIZATION, organization_id)
        task = asyncio.create_task(flip(waiting, organization_id, admin))
        assert await waits(db, waiting, task)
        await db.execute("SELECT app.remove_second_factor($1)", admin)
        await transaction.commit()
        with refused("PC003"):
            await task
    assert await policy(db, organization_id) == before


async def test_two_organizations_dont_touch_each_other(db: Db, database_url: str) -> None:
    here, there = await an_organization(db), await an_organization(db, "Heron")
    admin_here, admin_there = await an_admin(db, here), await an_admin(db, there)
    user_there = await a_member(db, there, sessions=["password"])
    run_there = await require(db, there, admin_there)
    async with connected(database_url) as [other]:
        transaction = other.transaction()
        await transaction.start()
        run_here = await require(other, here, admin_here)
        await db.execute("SET lock_timeout = '1s'")
        assert await db.fetchval("SELECT portcullis.sign_in_requirement($1, 'password')", user_there) == "second_factor_setup"
        await enforce_all(database_url, run_there)
        assert await live_sessions(db) == set()
        await cancel(db, run_there)
        run_there = await require(db, there, admin_there)
        await transaction.commit()
    assert await live_runs(db) == sorted([run_here, run_there])
    await lift(db, here, admin_here)
    assert await live_runs(db) == [run_there]
    assert (await policy(db, here), await policy(db, there)) == ((False, 2), (True, 2))
    assert {row["stage"] for row in await batches(db, run_there, "stage")} == {"plan", "finish"}
    assert await gate(db, user_there, there) == "second_factor_setup"


# Against workers in flight.


@pytest.mark.parametrize("stop", ["lift", "cancel"])
async def test_it_waits_for_a_batch_in_flight_while_people_sign_in(db: Db, database_url: str, stop: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    user_id = await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    async with connected(database_url, 3) as [worker, waiting, login]:
        async with a_worker(database_url) as resources:
            await work(resources, run_id, Stage.PLAN)
        claim = await claim_one(worker, run_id, Stage.ENFORCE)
        transaction = worker.transaction()
        await transaction.start()
        await runs.enforce(worker, claim)
        task = asyncio.create_task(lift(waiting, organization_id, admin) if stop == "lift" else cancel(waiting, run_id))
        assert await waits(db, waiting, task)
        await login.execute("SET lock_timeout = '1s'")
        session = await login.fetchrow("SELECT * FROM app.sign_in($1, 'password')", user_id)
        assert session["restricted_to_enrolment"]
        assert not task.done()
        await transaction.commit()
        await task
    assert (await run(db, run_id))["state"] == "cancelled"
    assert await live_sessions(db) == {session["session_id"]}, "what was in flight has happened"


@pytest.mark.parametrize("stop", ["lift", "cancel", "lift and require"])
async def test_when_it_has_returned_no_further_session_is_ended(db: Db, database_url: str, stop: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    async with a_worker(database_url) as resources, connected(database_url) as [worker]:
        await work(resources, run_id, Stage.PLAN)
        claim = await claim_one(worker, run_id, Stage.ENFORCE)
        if stop == "cancel":
            await cancel(db, run_id)
        else:
            await lift(db, organization_id, admin)
        if stop == "lift and require":
            await require(db, organization_id, admin)
        with pytest.raises(Obsolete):
            async with worker.transaction():
                await runs.enforce(worker, claim)
        assert await work(resources, run_id, Stage.ENFORCE) == 0
    assert len(await live_sessions(db)) == 1
    assert await db.fetchval("SELECT count(*) FROM portcullis.delivery") == 0


async def test_a_batch_that_was_parted_at_that_moment_is_stopped_too(db: Db, database_url: str) -> None:
    """A worker that holds a batch and opens another one: neither waits for the other for ever, and nothing stays open."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    async with connected(database_url, 2) as [worker, waiting]:
        for stop in (partial(cancel, waiting, run_id), partial(lift, waiting, organization_id, admin)):
            batch_id = await db.fetchval(
                "INSERT INTO portcullis.batch (run_id, stage, owed) VALUES ($1, 'notice', 3) RETURNING batch_id", run_id
            )
            transaction = worker.transaction()
            await transaction.start()
            await worker.execute("SELECT FROM portcullis.batch WHERE batch_id = $1 FOR UPDATE", batch_id)
            task = asyncio.create_task(stop())
            assert await waits(db, waiting, task)
            await worker.execute("INSERT INTO portcullis.batch (run_id, stage, deferred) VALUES ($1, 'deferred', 2)", run_id)
            await transaction.commit()
            await task
    left = await batches(db, run_id, "stage", "state", "owed + deferred AS unsent")
    assert {(row["state"], row["unsent"]) for row in left if row["stage"] != "settle"} == {("cancelled", 0)}
