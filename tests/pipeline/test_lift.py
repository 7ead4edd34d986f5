"""Switching off: who is told, once, twice, after a crash, and when it is switched on again first."""

import asyncio

import pytest

from jobs.errors import Obsolete
from jobs.stages.notify import notify
from jobs.store import batches, deliveries, hints, runs
from jobs.store.database import Database
from tests.builders import Organization, a_member, a_session, an_organization
from tests.pipeline.world import Hint, World
from tests.relay import Act, Rule, Stage


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=2)


async def lifted(world: World, organization: Organization) -> tuple[int, Hint]:
    """Run to the end and switch off; returns the run and the hint for the letters about that."""
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.lift(organization)
    await world.step("finish_run")  # settles
    (hint,) = [hint for hint in await world.look() if hint.actor == "notify_batch"]
    return run, hint


async def test_only_those_who_were_told_that_they_are_signed_out_are_told(world: World) -> None:
    organization = await an_organization(world.db)
    told = await a_member(world.db, organization.id)
    refused = await a_member(world.db, organization.id, email="gone@kestrel.example")
    protected = await a_member(world.db, organization.id, factor=True)
    sso = await a_member(world.db, organization.id, password=False, sso=True, sessions=["sso"])
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", recipient="gone@*"))
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.lift(organization)
    await world.run_to_end(run)
    assert [world.kinds(member) for member in (told, refused, protected, sso)] == [
        ["signed_out", "lifted"],
        [],
        ["protected"],
        ["single_sign_on"],
    ]
    assert world.kinds(organization.admin) == ["protected", "report"]


async def test_whoever_may_have_been_told_is_told(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.DROP, recipient=member.email, times=2))
    run, _ = await lifted(world, organization)
    await world.run_to_end(run)
    assert world.kinds(member) == ["lifted"]


async def test_twice_nobody_is_told_twice(world: World, organization: Organization) -> None:
    run, hint = await lifted(world, organization)
    await world.hand_over(hint)
    await asyncio.gather(*[world.hand_over(hint) for _ in range(3)])
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 2


async def test_killed_between_owing_and_sending_nothing_is_lost(world: World, organization: Organization) -> None:
    run, hint = await lifted(world, organization)
    claim = await world.claim(hint)
    assert await deliveries.owe_lifted(world.pool, claim) == 2
    await world.let_leases_end()
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 2


async def test_with_a_stale_token_nothing_is_owed(world: World, organization: Organization) -> None:
    run, hint = await lifted(world, organization)
    zombie = await world.claim(hint)
    await world.let_leases_end()
    await world.run_to_end(run)
    with pytest.raises(Obsolete):
        await notify(world.resources, zombie)


async def test_switched_on_again_before_they_are_told_they_are_not(world: World, organization: Organization) -> None:
    first, hint = await lifted(world, organization)
    second = await world.require(organization)
    await world.hand_over(hint)
    await world.run_to_end(second)
    await world.run_to_end(first)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "signed_out"]] * 2


async def test_letters_on_their_way_when_it_is_lifted_are_waited_for(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    claim = await world.claim((await world.look())[0])
    marked = await deliveries.mark(world.pool, claim, limit=1, members=None, lease=world.resources.lease)
    assert [letter.member_id for letter in marked] == [member.id]
    await world.lift(organization)
    assert [hint.actor for hint in await world.step()] == ["finish_run"], "nobody is told while a letter is on its way"
    await world.let_leases_end()
    await world.hurry()
    assert [hint.actor for hint in await world.step()] == ["finish_run"]
    await world.run_to_end(run)
    assert world.kinds(member) == ["lifted"], "it may have arrived"


async def test_lifted_at_once_nobody_hears_anything(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.lift(organization)
    status = await world.run_to_end(run)
    assert world.relay.accepted == []
    assert (status["state"], status["letters"]["cancelled"]) == ("cancelled", 3)


async def test_lifted_after_a_cancel_those_who_had_been_told_are_told(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.step_until(lambda: world.has_none(run, "plan", "enforce", "notice"), "plan_run", "enforce_batch", "notify_batch")
    await world.cancel(run)
    assert await world.db.fetchval("SELECT required FROM portcullis.policy"), "the requirement stands"
    await world.lift(organization)
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 2


async def test_a_report_not_sent_yet_is_cancelled(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.step_until(lambda: is_done(world, run), "plan_run", "enforce_batch", "notify_batch", "finish_run", rounds=9)
    await world.lift(organization)
    await world.run_to_end(run)
    assert await world.state(run) == "done"
    assert (await world.letter(run, organization.admin, "report"))["state"] == "cancelled"
    assert world.kinds(organization.admin) == ["protected"]


async def test_lifted_at_the_moment_when_the_conductor_closes_the_run_they_are_told(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.run_to_end(run)
    lift = world.db.transaction()
    await lift.start()
    await world.lift(organization)
    closing = asyncio.create_task(hints.close_runs(world.pool))
    await asyncio.wait([closing], timeout=0.5)
    await lift.commit()
    await closing
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 2


async def test_switched_on_again_while_the_first_stop_is_being_settled_both_are(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.lift(organization)
    find = runs.find_unsettled

    async def find_and_let_somebody_switch_on_again(db: Database, run_id: int) -> list[runs.Unsettled]:
        found = await find(db, run_id)
        monkeypatch.undo()
        await world.require(organization)
        return found

    monkeypatch.setattr(runs, "find_unsettled", find_and_let_somebody_switch_on_again)
    await world.step("finish_run")
    await world.run_to_end(run)
    assert [batch["done_at"] is None for batch in await world.batches(run, "lifted")] == [False]
    await world.step_until(world.nothing_open)


async def is_done(world: World, run: int) -> bool:
    return await world.state(run) == "done"


async def test_a_deferred_letter_is_cancelled_by_a_lift(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=member.email))
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.lift(organization)
    status = await world.run_to_end(run)
    assert (await world.letter(run, member))["state"] == "cancelled"
    assert (status["letters"]["deferred"], status["letters"]["cancelled"]) == (0, 1)
    assert world.kinds(member) == []


@pytest.mark.survives("off in the phase of letters", "I5 I19")
async def test_sessions_after_a_lift_are_left_alone(world: World, organization: Organization) -> None:
    run, _ = await lifted(world, organization)
    later = await a_session(world.db, organization.members[0].id)
    await world.run_to_end(run)
    assert await world.live(*organization.members) == [later]


async def test_whoever_has_left_is_not_told(world: World, organization: Organization) -> None:
    run, hint = await lifted(world, organization)
    await world.change("SELECT app.leave_organization($1, $2)", organization.id, organization.members[0].id)
    await world.hand_over(hint)
    await world.run_to_end(run)
    assert (await world.letter(run, organization.members[0], "lifted"))["reason"] == "left"
    assert world.kinds(organization.members[1]) == ["signed_out", "lifted"]


async def test_whoever_holds_letters_when_it_is_lifted_gives_them_back_at_once(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    (hint,) = [hint for hint in await world.look() if hint.actor == "notify_batch"][:1]
    claim = await world.claim(hint)
    await world.lift(organization)
    await batches.let_go(world.pool, claim)
    (batch,) = [batch for batch in await world.batches(run, "notice") if batch["batch_id"] == claim.batch_id]
    assert (batch["state"], batch["leased_until"]) == ("cancelled", None)


async def test_on_and_off_again_before_its_letters_left_those_of_the_first_run_are_not_told(
    world: World, organization: Organization
) -> None:
    """What the README says of it: the first run's `lifted` letters give way to the second run, which has told nobody when it ends."""
    first = await world.require(organization)
    await world.run_to_end(first)
    await world.lift(organization)
    second = await world.require(organization)
    await world.lift(organization)
    for run in (first, second):
        await world.run_to_end(run)
    await world.step_until(world.nothing_open)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 2


@pytest.mark.parametrize("moment", ["when the first letters had left", "when the second ones had"])
async def test_on_and_off_again_those_who_were_told_last_are_told(world: World, organization: Organization, moment: str) -> None:
    first = await world.require(organization)
    await world.run_to_end(first)
    await world.lift(organization)
    if moment == "when the first letters had left":
        await world.run_to_end(first)
    second = await world.require(organization)
    if moment == "when the second ones had":
        await world.run_to_end(second)
    await world.lift(organization)
    for run in (first, second):
        await world.run_to_end(run)
    await world.step_until(world.nothing_open)
    assert {world.kinds(member)[-1] for member in organization.members} == {"lifted"}
