"""A dead batch that is replayed is done by the real conductor and stages, once, and its run ends. The independent checker looks on."""

from collections.abc import AsyncIterator

import pytest

from jobs.store import hints
from jobs.store.batches import MAX_ATTEMPTS
from tests import builders
from tests.integration.cli_runner import Cli
from tests.pipeline.world import World, a_world
from workers.cli.exit_codes import ExitCode


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, redis_url) as world:
        yield world
        assert await world.violations() == []


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


async def bury(world: World, run: int, stage: str) -> list[int]:
    """Let every open batch of a stage have failed too often, and put them aside as the conductor does once a second."""
    await world.db.execute(
        "UPDATE portcullis.batch SET attempts = $3, error = 'view is broken' WHERE run_id = $1 AND stage = $2 AND state = 'open'",
        *(run, stage, MAX_ATTEMPTS),
    )
    await hints.bury(world.pool)
    return [batch["batch_id"] for batch in await world.batches(run, stage) if batch["state"] == "dead"]


@pytest.mark.parametrize("stage", ["plan", "enforce", "notice", "finish"])
async def test_a_run_with_dead_batches_waits_and_ends_after_a_replay(cli: Cli, world: World, stage: str) -> None:
    organization = await builders.an_organization(world.db, members=8)
    run = await world.require(organization)
    if stage != "plan":
        await world.step("plan_run")
    if stage in {"notice", "finish"}:
        await world.enforce_all(run)
    dead = await bury(world, run, stage)
    assert dead
    for _ in range(4):
        await world.step()
        await world.hurry()
    assert await world.state(run) == "running"

    assert [one["batch_id"] for one in (await cli("dead", "--run", run, "--json")).document["dead"]] == sorted(dead, reverse=True)
    assert "Batches put aside" in (await cli("status", run)).out
    assert (await cli("replay", "--run", run, "--reason", "mended", "--json")).document == {"replayed": dead}
    status = await world.run_to_end(run)

    assert (status["state"], status["batches"]["dead"]) == ("done", 0)
    assert (status["members"], status["letters"]["accepted"], status["sessions_ended"]) == (9, 9, 8)
    assert all(world.kinds(member) == ["signed_out"] for member in organization.members)
    assert (await cli("replay", dead[0], "--reason", "again")).code is ExitCode.REFUSED


async def test_who_had_the_batch_before_it_died_is_shut_out_by_the_next_claim(cli: Cli, world: World) -> None:
    organization = await builders.an_organization(world.db, members=3)
    run = await world.require(organization)
    await world.enforce_all(run)
    first = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    zombie = await world.claim(first)
    await world.let_leases_end()
    await bury(world, run, "notice")
    await cli("replay", first.batch, "--reason", "mended")
    [again] = [hint for hint in await world.look() if hint.batch == first.batch]
    assert again.token == zombie.token
    assert (await world.claim(again)).token == zombie.token + 1
    await world.let_leases_end()
    assert (await cli("replay", "--run", run, "--reason", "the rest", "--json")).code is ExitCode.OK
    assert (await world.run_to_end(run))["letters"]["accepted"] == 4
