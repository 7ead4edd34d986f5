"""The plan: once, twice, after a crash, too late."""

from itertools import pairwise

import pytest

from jobs.errors import Obsolete
from jobs.stages import plan
from jobs.store import runs
from tests.builders import Organization, a_member, an_organization
from tests.pipeline.world import World


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RANGE", 2)
    monkeypatch.setattr(plan, "FIRST_RANGES", 2)
    monkeypatch.setattr(plan, "NEXT_RANGES", 3)


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=15)


async def ranges(world: World, run: int) -> list[tuple[int | None, int | None]]:
    return [(batch["low"], batch["high"]) for batch in await world.batches(run, "enforce")]


def chain(organization: Organization) -> list[tuple[int | None, int | None]]:
    """Ranges of two members each, open at both ends, none missing and none twice."""
    ids = [organization.admin.id, *(member.id for member in organization.members)]
    bounds = [None, *ids[2::2], None]
    return list(pairwise(bounds))


async def test_once_it_cuts_ranges_that_are_open_at_both_ends(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.step("plan_run")
    assert await ranges(world, run) == chain(organization)
    assert [batch["state"] for batch in await world.batches(run, "plan")] == ["done"]


async def test_twice_it_cuts_nothing_more(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    (hint,) = await world.look()
    await world.hand_over(hint)
    await world.hand_over(hint)
    assert await ranges(world, run) == chain(organization)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_after_a_crash_it_goes_on_where_it_had_come_to(world: World, organization: Organization, steps: int) -> None:
    run = await world.require(organization)
    (hint,) = await world.look()
    killed = await world.claim(hint)
    low = None
    for count in (2, 3)[:steps]:
        boundaries = await runs.next_boundaries(world.pool, killed, low, size=2, count=count)
        await runs.plan_ranges(world.pool, killed, low, boundaries, is_last=False, lease=world.resources.lease)
        low = boundaries[-1]
    await world.let_leases_end()
    await world.step_until(lambda: world.has_none(run, "plan"), "plan_run")
    assert await ranges(world, run) == chain(organization)


async def test_with_a_stale_token_it_writes_nothing(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    (hint,) = await world.look()
    zombie = await world.claim(hint)
    await world.let_leases_end()
    await world.step("plan_run")
    with pytest.raises(Obsolete):
        await plan.plan(world.resources, zombie)
    assert await ranges(world, run) == chain(organization)


async def test_cancelled_meanwhile_it_stops(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    (hint,) = await world.look()
    claim = await world.claim(hint)
    await world.cancel(run)
    with pytest.raises(Obsolete):
        await plan.plan(world.resources, claim)
    assert await ranges(world, run) == []
    await world.run_to_end(run)


async def test_superseded_meanwhile_only_the_latest_run_is_planned(world: World, organization: Organization) -> None:
    first = await world.require(organization)
    (hint,) = await world.look()
    await world.lift(organization)
    second = await world.require(organization)
    await world.hand_over(hint)
    await world.run_to_end(second)
    assert await ranges(world, first) == []
    assert await ranges(world, second) == chain(organization)
    assert (await world.state(first), await world.state(second)) == ("cancelled", "done")


async def test_whoever_joins_while_it_plans_falls_into_a_range(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    (hint,) = await world.look()
    claim = await world.claim(hint)
    boundaries = await runs.next_boundaries(world.pool, claim, None, size=2, count=2)
    await runs.plan_ranges(world.pool, claim, None, boundaries, is_last=False, lease=world.resources.lease)
    joined = await a_member(world.db, organization.id)
    await world.let_leases_end()
    await world.run_to_end(run)
    assert (await world.letter(run, joined))["state"] == "accepted"
    assert await world.live(joined) == []
