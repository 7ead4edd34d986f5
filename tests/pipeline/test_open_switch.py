"""A main app that leaves the transaction open in which it switches: its own organization waits, and no worker waits with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.builders import Organization, an_organization
from tests.pipeline.world import Hint, World

AT_ONCE_SECONDS = 1.5
"""Less than any wait for a lock."""


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


@pytest.fixture
async def other(world: World) -> Organization:
    return await an_organization(world.db, members=3)


@asynccontextmanager
async def left_open(world: World, verb: str, organization: Organization) -> AsyncIterator[None]:
    """Switch in a transaction that is committed at the end of the block."""
    async with world.another() as app, app.transaction():
        await app.execute(f"SELECT portcullis.{verb}($1, $2, 'and then a long report')", organization.id, organization.admin.id)
        yield


async def enforcing(world: World, organization: Organization) -> tuple[int, list[Hint]]:
    """A run that is planned, and the hints for what comes next."""
    run = await world.require(organization)
    await world.step("plan_run")
    return run, [hint for hint in await world.look() if hint.actor == "enforce_batch"]


async def test_batches_are_given_back_at_once_and_without_an_attempt(world: World, organization: Organization, other: Organization) -> None:
    run, hints = await enforcing(world, organization)
    async with left_open(world, "require_second_factor", organization):
        for _ in range(3):
            async with asyncio.timeout(AT_ONCE_SECONDS):
                await asyncio.gather(*[world.hand_over(hint) for hint in hints])
            await world.hurry()
            hints = [hint for hint in await world.look() if hint.run == run]
        (batch,) = await world.batches(run, "enforce")
        assert (batch["state"], batch["attempts"], batch["leased_until"]) == ("open", 0, None)
        assert batch["error"] == "a switch of the organization is not committed yet"
        assert (await world.run_to_end(await world.require(other)))["sessions_ended"] == 3
        assert (await world.status(run))["sessions_ended"] == 0
    assert (await world.run_to_end(run))["sessions_ended"] == 3


async def test_a_hint_from_before_a_lift_holds_a_worker_for_a_moment_only(
    world: World, organization: Organization, other: Organization
) -> None:
    run, hints = await enforcing(world, organization)
    async with left_open(world, "lift_second_factor", organization):
        async with asyncio.timeout(10):
            with pytest.raises(asyncpg.LockNotAvailableError):
                await world.hand_over(hints[0])
        assert (await world.run_to_end(await world.require(other)))["sessions_ended"] == 3
    assert (await world.run_to_end(run))["sessions_ended"] == 0
