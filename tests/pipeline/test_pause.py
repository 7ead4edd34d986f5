"""A pause in each stage: nothing of it begins, what is in hand is given back, and afterwards it ends exactly. The gate stands."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jobs.claiming import run_claimed
from jobs.resources import Resources
from jobs.stages import notify as notify_stage
from jobs.store import deliveries, steering
from jobs.store.batches import Claim, Stage
from jobs.store.steering import Order, PauseScope
from tests.builders import Organization, an_organization
from tests.pipeline.world import ACTORS, Hint, World

ORDER = Order(actor="ines", via="cli", reason="the relay is on fire")
STAGES = ("plan_run", "enforce_batch", "notify_batch", "finish_run")


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def pause(world: World, scope: PauseScope, subject: object = "") -> None:
    assert await steering.pause(world.pool, ORDER, scope, str(subject))


async def resume(world: World, scope: PauseScope, subject: object = "") -> None:
    assert await steering.resume(world.pool, ORDER, scope, str(subject))


async def come_to(world: World, run: int, actor: str) -> Hint:
    """Step until the conductor hints at work for that actor, and return that hint."""
    before = STAGES[: STAGES.index(actor)]
    for _ in range(20):
        hints = [hint for hint in await world.look() if hint.run == run]
        if found := [hint for hint in hints if hint.actor == actor]:
            return found[0]
        for hint in hints:
            assert hint.actor in before
            await world.hand_over(hint)
    raise AssertionError(await world.unfinished())


async def nothing_happens(world: World, run: int) -> None:
    """Look for a while, with every hint missed and every time come, and see nothing of that run."""
    before = [dict(batch) for batch in await world.batches(run)]
    for _ in range(3):
        await world.hurry()
        assert [hint for hint in await world.step() if hint.run == run] == []
    moved = {"next_at", "hinted_at"}
    after = [dict(batch) for batch in await world.batches(run)]
    assert [{name: batch[name] for name in batch if name not in moved} for batch in after] == [
        {name: batch[name] for name in batch if name not in moved} for batch in before
    ]


async def ends_exactly(world: World, run: int, organization: Organization) -> None:
    status = await world.run_to_end(run)
    members = len(organization.members)
    assert (status["state"], status["members"], status["sessions_ended"]) == ("done", members + 1, members)
    assert status["letters"]["accepted"] == members + 1
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * members
    assert status["paused"] is None


def paused_first(world: World, run: int, actor: str) -> Callable[[Resources, Claim], Awaitable[None]]:
    """Do that actor's work, with the pause between its claim and its first transaction."""

    async def work(resources: Resources, claim: Claim) -> None:
        await pause(world, PauseScope.RUN, run)
        await ACTORS[actor][0](resources, claim)

    return work


@pytest.mark.parametrize("actor", STAGES)
async def test_a_paused_run_gets_no_hint_and_ends_exactly_afterwards(world: World, organization: Organization, actor: str) -> None:
    run = await world.require(organization)
    await come_to(world, run, actor)
    await pause(world, PauseScope.RUN, run)
    await nothing_happens(world, run)
    assert await world.state(run) == "running"
    await resume(world, PauseScope.RUN, run)
    await ends_exactly(world, run, organization)


@pytest.mark.parametrize("actor", STAGES)
async def test_a_hint_from_before_the_pause_is_not_claimed(world: World, organization: Organization, actor: str) -> None:
    run = await world.require(organization)
    hint = await come_to(world, run, actor)
    await pause(world, PauseScope.RUN, run)
    await world.hand_over(hint)
    [batch] = [batch for batch in await world.batches(run) if batch["batch_id"] == hint.batch]
    assert (batch["state"], batch["token"], batch["attempts"], batch["leased_until"]) == ("open", hint.token, 0, None)
    await resume(world, PauseScope.RUN, run)
    await ends_exactly(world, run, organization)


@pytest.mark.parametrize("actor", STAGES)
async def test_a_batch_that_is_paused_in_its_holders_hands_is_given_back_without_an_attempt(
    world: World, organization: Organization, actor: str
) -> None:
    run = await world.require(organization)
    hint = await come_to(world, run, actor)
    stages = ACTORS[actor][1]
    work = paused_first(world, run, actor)
    await run_claimed(world.resources, work, stages=stages, run_id=run, batch_id=hint.batch, token=hint.token)
    [batch] = [batch for batch in await world.batches(run) if batch["batch_id"] == hint.batch]
    assert (batch["state"], batch["token"], batch["attempts"]) == ("open", hint.token + 1, 0)
    assert (batch["leased_until"], batch["hinted_at"], batch["holder"]) == (None, None, None)
    await nothing_happens(world, run)
    await resume(world, PauseScope.RUN, run)
    await ends_exactly(world, run, organization)


async def test_letters_stop_at_the_next_wave(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = await an_organization(world.db, members=12)
    monkeypatch.setattr(notify_stage, "WAVE", 3)
    world.relay.delay_seconds = 0.05
    run = await world.require(organization)
    hint = await come_to(world, run, "notify_batch")
    sending = asyncio.create_task(world.hand_over(hint))
    await world.until_so(lambda: world.relay.accepted)
    await pause(world, PauseScope.QUEUE, "notify")
    async with asyncio.timeout(10):
        await sending
    letters = (await world.status(run))["letters"]
    assert letters["sending"] == 0
    assert letters["accepted"] == len(world.relay.accepted)
    assert letters["accepted"] in {3, 6}, "the wave in flight, or the one that began with the pause"
    [batch] = [batch for batch in await world.batches(run) if batch["batch_id"] == hint.batch]
    assert (batch["attempts"], batch["leased_until"]) == (0, None)
    world.relay.delay_seconds = 0
    await nothing_happens(world, run)
    await resume(world, PauseScope.QUEUE, "notify")
    await ends_exactly(world, run, organization)


async def test_a_mailer_that_was_killed_before_the_pause_costs_a_lease_and_nothing_else(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    claim = await world.claim(await come_to(world, run, "notify_batch"))
    marked = await deliveries.mark(world.pool, claim, limit=2, members=None, lease=world.resources.lease)
    await pause(world, PauseScope.RUN, run)
    await world.let_leases_end()
    await nothing_happens(world, run)
    assert (await world.status(run))["letters"]["sending"] == len(marked) == 2
    await resume(world, PauseScope.RUN, run)
    await ends_exactly(world, run, organization)


async def test_an_enforcer_that_was_killed_while_paused(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.claim(await come_to(world, run, "enforce_batch"))
    await pause(world, PauseScope.EVERYTHING)
    await world.let_leases_end()
    await nothing_happens(world, run)
    await resume(world, PauseScope.EVERYTHING)
    await ends_exactly(world, run, organization)


@pytest.mark.parametrize("scope", [PauseScope.ORGANIZATION, PauseScope.RUN])
async def test_others_go_on_beside_what_is_paused(world: World, organization: Organization, scope: PauseScope) -> None:
    other = await an_organization(world.db, members=2)
    run, beside = await world.require(organization), await world.require(other)
    await pause(world, scope, run if scope is PauseScope.RUN else organization.id)
    await ends_exactly(world, beside, other)
    assert (await world.status(run))["members"] == 0
    await resume(world, scope, run if scope is PauseScope.RUN else organization.id)
    await ends_exactly(world, run, organization)


async def test_a_pause_of_everything_holds_whoever_switches_on_later(world: World, organization: Organization) -> None:
    await pause(world, PauseScope.EVERYTHING)
    run = await world.require(organization)
    await nothing_happens(world, run)
    await resume(world, PauseScope.EVERYTHING)
    await ends_exactly(world, run, organization)


async def test_while_letters_are_paused_sessions_end(world: World, organization: Organization) -> None:
    await pause(world, PauseScope.QUEUE, "notify")
    run = await world.require(organization)
    await world.enforce_all(run)
    await nothing_happens(world, run)
    status = await world.status(run)
    assert (status["sessions_ended"], status["letters"]["owed"], world.relay.accepted) == (3, 4, [])
    await resume(world, PauseScope.QUEUE, "notify")
    await ends_exactly(world, run, organization)


async def test_the_gate_stands_whatever_is_paused(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await pause(world, PauseScope.EVERYTHING)
    await pause(world, PauseScope.RUN, run)
    await pause(world, PauseScope.ORGANIZATION, organization.id)
    member = organization.members[0]
    assert await world.db.fetchval("SELECT portcullis.gate($1, $2, 'password')", member.id, organization.id) == "second_factor_setup"


async def test_the_status_names_the_pause_that_ends_last(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    assert (await world.status(run))["paused"] is None
    await pause(world, PauseScope.QUEUE, "notify")
    assert (await world.status(run))["paused"] is None, "it has sessions to end first"
    await pause(world, PauseScope.RUN, run)
    await pause(world, PauseScope.EVERYTHING)
    told = (await world.status(run))["paused"]
    assert told.pop("at")
    assert told == {"scope": "everything", "subject": "", "by": "ines", "reason": ORDER.reason}
    await resume(world, PauseScope.EVERYTHING)
    assert (await world.status(run))["paused"]["scope"] == "run"
    await resume(world, PauseScope.RUN, run)
    await world.enforce_all(run)
    assert (await world.status(run))["paused"]["scope"] == "queue"
    await resume(world, PauseScope.QUEUE, "notify")
    await ends_exactly(world, run, organization)


async def test_two_pauses_of_one_run_end_one_after_the_other(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await pause(world, PauseScope.RUN, run)
    await pause(world, PauseScope.ORGANIZATION, organization.id)
    await resume(world, PauseScope.RUN, run)
    await nothing_happens(world, run)
    await resume(world, PauseScope.ORGANIZATION, organization.id)
    await ends_exactly(world, run, organization)


async def test_a_paused_run_that_is_cancelled_is_settled(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await pause(world, PauseScope.RUN, run)
    await world.cancel(run)
    await world.step_until(world.nothing_open)
    assert {(await world.letter(run, member))["state"] for member in organization.members} == {"cancelled"}
    assert world.relay.accepted == []
    await world.step()
    assert await steering.list_pauses(world.pool) == [], "a pause of what is over and settled holds nobody up"
    [ended, *_] = await steering.list_actions(world.pool, run_id=run)
    assert (ended.actor, ended.via, ended.verb, ended.scope, ended.subject) == ("conductor", "worker", "resume", "run", str(run))
    assert ended.organization_id == organization.id


async def test_a_lift_while_letters_are_paused_tells_people_when_they_go_on(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.step_until(lambda: world.has_none(run, "plan", "enforce", "notice"))
    await pause(world, PauseScope.QUEUE, "notify")
    await world.lift(organization)
    for _ in range(3):
        await world.step()
        await world.hurry()
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3
    await resume(world, PauseScope.QUEUE, "notify")
    await world.step_until(world.nothing_open)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 3


@pytest.mark.parametrize("stage", [Stage.REMIND_WEEK, Stage.WEEK])
async def test_reminders_that_are_paused_in_hand_leave_once_afterwards(world: World, organization: Organization, stage: Stage) -> None:
    run = await world.db.fetchval(
        "SELECT portcullis.require_second_factor_with($1, $2, 'audit', '{}', now() + interval '3 days', NULL)",
        *(organization.id, organization.admin.id),
    )
    await world.step_until(lambda: has_open(world, run, stage))
    [hint] = [hint for hint in await hurried(world) if hint.actor == "notify_batch"]
    work = paused_first(world, run, "notify_batch")
    await run_claimed(world.resources, work, stages=(stage,), run_id=run, batch_id=hint.batch, token=hint.token)
    assert await has_open(world, run, stage)
    assert world.relay.accepted == []
    await resume(world, PauseScope.RUN, run)
    for _ in range(4):
        await world.step("notify_batch")
        await world.db.execute("UPDATE portcullis.batch SET hinted_at = NULL WHERE state = 'open'")
    assert [world.kinds(member) for member in organization.members] == [["reminder"]] * 3


async def has_open(world: World, run: int, stage: Stage) -> bool:
    return any(batch["state"] == "open" for batch in await world.batches(run, stage))


async def hurried(world: World) -> list[Hint]:
    """Look, with every hint so far missed."""
    await world.db.execute("UPDATE portcullis.batch SET hinted_at = NULL WHERE state = 'open'")
    return await world.look()
