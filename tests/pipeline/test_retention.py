"""Runs that are over for long lose their members, in small steps; counts and record stay and still verify."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import structlog

from jobs import retention
from jobs.audit.verification import Trust, verify
from tests.builders import an_organization
from tests.pipeline.test_audit_verify import sealed
from tests.pipeline.world import RING, World, a_world


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """Without the checker at its end: it would miss the members who were forgotten."""
    async with a_world(database_url, redis_url) as world:
        yield world


async def an_old_run(world: World, *, days: int = 500) -> int:
    organization = await an_organization(world.db, members=4)
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.look()
    await world.db.execute("UPDATE portcullis.run SET finished_at = now() - make_interval(days => $2) WHERE run_id = $1", run, days)
    return run


async def members(world: World, run: int) -> int:
    return int(await world.db.fetchval("SELECT count(*) FROM portcullis.delivery WHERE run_id = $1", run))


async def test_members_of_an_old_run_are_forgotten_and_its_status_and_record_are_not(world: World) -> None:
    run = await an_old_run(world)
    before = await world.status(run)
    await sealed(world)
    assert await retention.forget(world.pool, 400)
    assert not await retention.forget(world.pool, 400)
    assert await members(world, run) == 0
    assert await world.status(run) == before
    await sealed(world)
    report = await verify(world.db, Trust.in_ring(RING))
    assert (report.finding, report.members) == (None, 5)
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.batch WHERE low IS NOT NULL OR high IS NOT NULL") == 0
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.audit_entry WHERE effect = 'forgotten'") == 1


async def test_attempts_at_their_letters_go_with_them(world: World) -> None:
    old, young = await an_old_run(world), await an_old_run(world, days=399)
    await world.db.execute(
        "INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome)"
        " SELECT run_id, slot, member_id, batch_id, 'refused' FROM portcullis.delivery, generate_series(1, 3)"
    )
    assert await retention.forget(world.pool, 400)
    left = await world.db.fetch("SELECT run_id, count(*) FROM portcullis.attempt GROUP BY 1")
    assert [tuple(row) for row in left] == [(young, 3 * await members(world, young))]
    assert await members(world, old) == 0


async def test_it_goes_in_small_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await an_old_run(world)
    monkeypatch.setattr(retention, "ROWS", 4)
    left = [await members(world, run)]
    while await retention.forget(world.pool, 400):
        left.append(await members(world, run))
    assert left == [6, 2, 0]


async def test_what_is_younger_running_or_has_letters_to_send_is_kept(world: World) -> None:
    young = await an_old_run(world, days=399)
    running = await world.require(await an_organization(world.db, members=1))
    await world.enforce_all(running)
    assert not await retention.forget(world.pool, 400)
    await world.db.execute("UPDATE portcullis.run SET has_open_batches = true, finished_at = finished_at - interval '100 days'")
    assert not await retention.forget(world.pool, 400)
    assert await members(world, young) == 6
    assert await members(world, running) == 2


async def test_a_slip_of_the_hand_forgets_nothing_of_yesterday(world: World) -> None:
    await an_old_run(world)
    assert not await retention.forget(world.pool, 0)


async def test_two_conductors_do_not_both_forget(world: World, database_url: str) -> None:
    run = await an_old_run(world)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.fetch("SELECT * FROM portcullis.forget_members('400 days', 2)")
        assert not await retention.forget(world.pool, 400)
    assert await members(world, run) == 4
    await other.close()


async def test_what_it_may_not_do_is_said_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await an_old_run(world)
    monkeypatch.setattr(retention, "LOOK_SECONDS", 0.02)
    await world.db.execute("ALTER FUNCTION portcullis.forget_members RENAME TO mislaid")
    with structlog.testing.capture_logs() as told:
        monkeypatch.setattr(retention, "log", structlog.get_logger())
        forgetting = asyncio.create_task(retention.forget_for_ever(world.pool, 400))
        await world.until_so(lambda: any(line["event"] == "forgetting_failed" for line in told))
    await world.db.execute("ALTER FUNCTION portcullis.mislaid RENAME TO forget_members")
    await world.until(lambda: members(world, run), 0)
    forgetting.cancel()
    await asyncio.gather(forgetting, return_exceptions=True)
