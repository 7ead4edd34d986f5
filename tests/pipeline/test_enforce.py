"""A batch to enforce: once, twice, after a crash, too late, and with a main app that fails."""

import asyncio

import asyncpg
import pytest

from jobs.claiming import run_claimed
from jobs.errors import Obsolete
from jobs.resources import Resources
from jobs.stages.enforce import enforce
from jobs.store import batches
from jobs.store.batches import Claim, Stage
from tests.builders import Organization, a_member, a_session, an_organization
from tests.pipeline.world import Hint, World

FAIL = """
    CREATE OR REPLACE FUNCTION directory.end_sessions(organization_id bigint, user_ids bigint[], keep_sso boolean)
    RETURNS TABLE (user_id bigint, ended bigint) LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the app has a bad day' USING ERRCODE = 'P0001';
    END $$
"""


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def planned(world: World, organization: Organization) -> tuple[int, Hint]:
    """Switch on and plan; returns the run and the hint for its one batch to enforce."""
    run = await world.require(organization)
    await world.step("plan_run")
    (hint,) = await world.look()
    return run, hint


async def test_once_it_ends_every_session_of_whoever_is_unprotected(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    await world.hand_over(hint)
    assert await world.live(*organization.members) == []
    (batch,) = await world.batches(run, "enforce")
    assert (batch["state"], batch["members"], batch["unprotected"], batch["sessions_ended"]) == ("done", 4, 3, 3)


async def test_twice_it_ends_nothing_more(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    await world.hand_over(hint)
    later = await a_session(world.db, organization.members[0].id)
    await world.hand_over(hint)
    assert await world.live(*organization.members) == [later]
    assert (await world.batches(run, "enforce"))[0]["sessions_ended"] == 3
    await world.run_to_end(run)


async def test_at_the_same_time_by_two_workers_each_session_is_ended_once(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    await asyncio.gather(world.hand_over(hint), world.hand_over(hint), world.hand_over(hint))
    assert (await world.batches(run, "enforce"))[0]["sessions_ended"] == 3


async def test_killed_between_claim_and_commit_it_is_done_by_the_next_one(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    await world.claim(hint)
    assert await world.step("enforce_batch") == []
    await world.let_leases_end()
    await world.step("enforce_batch")
    assert await world.live(*organization.members) == []
    (batch,) = await world.batches(run, "enforce")
    assert (batch["state"], batch["attempts"]) == ("done", 2)


async def test_with_a_stale_token_it_writes_nothing(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    zombie = await world.claim(hint)
    await world.let_leases_end()
    await world.step("enforce_batch")
    later = await a_session(world.db, organization.members[0].id)
    with pytest.raises(Obsolete):
        await enforce(world.resources, zombie)
    assert not await batches.release(world.pool, zombie, seconds=0, is_attempt=True)
    assert await world.live(*organization.members) == [later]
    await world.run_to_end(run)


async def test_cancelled_after_the_claim_it_ends_nothing(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    claim = await world.claim(hint)
    await world.cancel(run)
    with pytest.raises(Obsolete):
        await enforce(world.resources, claim)
    assert len(await world.live(*organization.members)) == 3
    await world.run_to_end(run)


async def test_lifted_before_the_claim_it_is_not_claimed(world: World, organization: Organization) -> None:
    _, hint = await planned(world, organization)
    await world.lift(organization)
    await world.hand_over(hint)
    assert len(await world.live(*organization.members)) == 3


async def test_superseded_by_off_and_on_the_old_batch_writes_nothing_and_the_new_run_does_all(
    world: World, organization: Organization
) -> None:
    first, hint = await planned(world, organization)
    claim = await world.claim(hint)
    await world.lift(organization)
    second = await world.require(organization)
    with pytest.raises(Obsolete):
        await enforce(world.resources, claim)
    await world.hand_over(hint)
    status = await world.run_to_end(second)
    assert status["sessions_ended"] == 3
    assert [batch["state"] for batch in await world.batches(first, "enforce")] == ["cancelled"]
    assert all(world.kinds(member) == ["signed_out"] for member in organization.members)


async def test_a_lift_waits_for_the_batch_in_flight_and_nothing_ends_after_it(world: World, organization: Organization) -> None:
    _, hint = await planned(world, organization)
    async with world.another() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("SELECT FROM app.sessions WHERE user_id = $1 FOR UPDATE", organization.members[1].id)
        working = asyncio.create_task(world.hand_over(hint))
        await world.somebody_waits()
        lifting = asyncio.create_task(world.lift(organization))
        await world.somebody_waits(count=2)
        assert not lifting.done()
        await transaction.rollback()
    await asyncio.gather(working, lifting)
    assert await world.live(*organization.members) == []


async def test_an_app_that_always_fails_costs_this_batch_only_until_somebody_has_it_replayed(
    world: World, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    other = await an_organization(world.db, name="Other", members=2)
    body = await world.db.fetchval("SELECT pg_get_functiondef('directory.end_sessions'::regproc)")
    await world.db.execute(FAIL)
    run = await world.require(organization)
    await world.step_until(lambda: world.has_none(run, "plan", "enforce"), "plan_run", "enforce_batch")
    await world.step()
    (dead,) = await world.batches(run, "enforce")
    assert (dead["state"], dead["attempts"]) == ("dead", batches.MAX_ATTEMPTS)
    assert dead["error"] == "RaiseError: the app has a bad day"
    status = await world.status(run)
    assert (status["state"], status["batches"]["dead"]) == ("running", 1)
    assert "the app has a bad day" in status["errors"][0]

    await world.db.execute(body)
    assert (await world.run_to_end(await world.require(other)))["state"] == "done"
    assert (await world.status(run))["state"] == "running"
    assert await world.replay(run) == 1
    assert (await world.run_to_end(run))["sessions_ended"] == 3


async def test_weather_is_nobodys_attempt(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    async with world.another() as blocker, blocker.transaction():
        await blocker.execute("SELECT FROM app.sessions WHERE user_id = $1 FOR UPDATE", organization.members[1].id)
        working = asyncio.create_task(world.hand_over(hint))
        (pid,) = await world.somebody_waits()
        await world.db.execute("SELECT pg_terminate_backend($1)", pid)
        await working
    (batch,) = await world.batches(run, "enforce")
    assert (batch["state"], batch["attempts"], batch["leased_until"]) == ("open", 0, None)
    assert (await world.run_to_end(run))["sessions_ended"] == 3


@pytest.mark.parametrize(("what", "attempts"), [("a statement called wrongly", 1), ("a lost connection", 0)])
async def test_what_is_our_fault_is_an_attempt_though_it_has_the_name_of_weather(
    world: World, organization: Organization, what: str, attempts: int
) -> None:
    run, hint = await planned(world, organization)

    async def work(_: Resources, claim: Claim) -> None:
        async with world.another() as connection:
            if what == "a lost connection":
                await connection.close()
            with pytest.raises(asyncpg.InterfaceError) as raised:
                await connection.fetch("SELECT $1::bigint", claim.batch_id, claim.run_id)
        raise raised.value

    await run_claimed(world.resources, work, stages=(Stage.ENFORCE,), run_id=run, batch_id=hint.batch, token=hint.token)
    (batch,) = await world.batches(run, "enforce")
    assert (batch["state"], batch["attempts"], batch["leased_until"]) == ("open", attempts, None)
    assert batch["error"].startswith("InterfaceError: ")
    assert (await world.run_to_end(run))["sessions_ended"] == 3


async def test_a_shutdown_gives_the_batch_back_at_once(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    async with world.another() as blocker, blocker.transaction():
        await blocker.execute("SELECT FROM app.sessions WHERE user_id = $1 FOR UPDATE", organization.members[1].id)
        working = asyncio.create_task(world.hand_over(hint))
        await world.somebody_waits()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    (batch,) = await world.batches(run, "enforce")
    assert (batch["state"], batch["attempts"], batch["leased_until"]) == ("open", 0, None)
    assert len(await world.live(*organization.members)) == 3
    await world.run_to_end(run)


async def test_an_app_whose_view_names_somebody_twice_is_borne_with(world: World, organization: Organization) -> None:
    await world.db.execute("ALTER TABLE app.memberships DROP CONSTRAINT memberships_pkey")
    await world.db.execute("INSERT INTO app.memberships (organization_id, user_id) SELECT organization_id, user_id FROM app.memberships")
    run = await world.require(organization)
    status = await world.run_to_end(run)
    assert (status["state"], status["members"], status["sessions_ended"]) == ("done", 4, 3)


async def test_two_batches_over_the_same_members_at_once_write_each_of_them_down_once(world: World, organization: Organization) -> None:
    run, hint = await planned(world, organization)
    await world.db.execute("INSERT INTO portcullis.batch (run_id, stage, urgency) VALUES ($1, 'enforce', 1)", run)
    (other,) = await world.look()
    async with world.another() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("SELECT FROM app.sessions WHERE user_id = $1 FOR UPDATE", organization.members[1].id)
        working = [asyncio.create_task(world.hand_over(one)) for one in (hint, other)]
        await world.somebody_waits(count=2)
        await transaction.rollback()
    await asyncio.gather(*working)
    assert sorted(batch["state"] for batch in await world.batches(run, "enforce")) == ["done", "open"]
    status = await world.run_to_end(run)
    assert (status["state"], status["members"], status["sessions_ended"]) == ("done", 4, 3)
    assert sorted(batch["attempts"] for batch in await world.batches(run, "enforce")) == [1, 2]


async def test_letters_that_nobody_is_owed_are_done_with_at_once(world: World, organization: Organization) -> None:
    await a_member(world.db, organization.id, active=False)
    await world.change("SELECT app.deactivate(user_id) FROM app.users WHERE user_id <> $1", organization.admin.id)
    run, hint = await planned(world, organization)
    await world.hand_over(hint)
    await world.change("SELECT app.deactivate($1)", organization.admin.id)
    await world.run_to_end(run)
    assert [(batch["state"], batch["done_at"] is None) for batch in await world.batches(run, "notice", "report")] == [("done", False)] * 2


async def test_an_app_that_lists_no_sessions_is_asked_to_end_them_all_the_same(world: World, organization: Organization) -> None:
    await world.db.execute(
        "CREATE OR REPLACE VIEW directory.session AS SELECT session_id, user_id, organization_id, started_at, started_with"
        " FROM app.sessions WHERE false"
    )
    status = await world.run_to_end(await world.require(organization))
    assert status["sessions_ended"] == 3
    rows = await world.db.fetch("SELECT FROM app.sessions WHERE ended_at IS NULL AND user_id <> $1", organization.admin.id)
    assert rows == []


async def test_a_database_whose_default_is_a_stricter_isolation_level(world: World, organization: Organization) -> None:
    await world.db.execute(
        f"ALTER DATABASE {await world.db.fetchval('SELECT current_database()')} SET default_transaction_isolation = 'repeatable read'"
    )
    await world.pool.expire_connections()
    joined = await a_member(world.db, organization.id)
    run = await world.require(organization)
    await world.run_to_end(run)
    assert await world.live(joined) == []
    assert isinstance(world.db, asyncpg.Connection)
