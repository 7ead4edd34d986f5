"""What people and admins do while a run is at it."""

import asyncio

import pytest

from tests.builders import Organization, a_member, a_session, an_organization
from tests.pipeline.world import World
from tests.relay import Rule, Stage


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=2)


@pytest.mark.survives("a member enrols, moves to SSO, joins, leaves, signs in, changes address, mid-run", "I1 I2 I4 I18")
async def test_whoever_enrols_before_the_decision_keeps_every_session(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.step("plan_run")
    await world.enrol(member)
    await world.run_to_end(run)
    assert await world.live(member) == list(member.sessions)
    assert world.kinds(member) == ["protected"]


async def test_whoever_enrols_before_their_letter_is_claimed_is_told_that_all_is_well(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.enrol(member)
    await world.run_to_end(run)
    assert await world.live(member) == []
    assert world.kinds(member) == ["protected"]
    assert (await world.letter(run, member))["verdict"] == "unprotected"


async def test_once_claimed_a_letter_stays_what_it_is_and_goes_where_it_went(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=member.email, times=1))
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    frozen = dict(await world.letter(run, member))
    await world.enrol(member)
    await world.change(
        "UPDATE app.users SET email = 'new@kestrel.example', display_name = 'New', locale = 'fr', time_zone = NULL WHERE user_id = $1",
        member.id,
    )
    await world.run_to_end(run)
    assert world.kinds(member) == ["signed_out"]
    kept = ("letter", "recipient", "display_name", "locale", "time_zone", "kind", "first_tried_at")
    letter = await world.letter(run, member)
    assert {name: letter[name] for name in kept} == {name: frozen[name] for name in kept}


async def test_an_address_changed_before_the_letter_is_claimed_is_the_one_that_counts(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("UPDATE app.users SET email = 'new@kestrel.example' WHERE user_id = $1", member.id)
    await world.run_to_end(run)
    assert (world.kinds(member), (await world.letter(run, member))["recipient"]) == ([], "new@kestrel.example")


async def test_whoever_moves_to_sso_before_the_decision_is_not_affected(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.step("plan_run")
    await world.change("SELECT app.move_to_sso($1)", member.id)
    await world.run_to_end(run)
    assert await world.live(member) == list(member.sessions)
    assert world.kinds(member) == ["single_sign_on"]


async def test_whoever_moves_to_sso_afterwards_is_told_how_it_is_now(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("SELECT app.move_to_sso($1)", member.id)
    await world.run_to_end(run)
    assert world.kinds(member) == ["single_sign_on"]


async def test_whoever_leaves_before_the_decision_is_not_in_the_ledger(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.step("plan_run")
    await world.change("SELECT app.leave_organization($1, $2)", organization.id, member.id)
    status = await world.run_to_end(run)
    assert status["members"] == 2
    assert await world.live(member) == list(member.sessions), "not ours any more"


async def test_whoever_leaves_before_their_letter_is_claimed_gets_none(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("SELECT app.leave_organization($1, $2)", organization.id, member.id)
    status = await world.run_to_end(run)
    letter = await world.letter(run, member)
    assert (letter["state"], letter["reason"], status["letters"]["suppressed"]) == ("suppressed", "left", 1)
    assert world.kinds(member) == []


async def test_whoever_is_deactivated_before_their_letter_is_claimed_gets_none(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("SELECT app.deactivate($1)", member.id)
    await world.run_to_end(run)
    assert (await world.letter(run, member))["reason"] == "inactive"


async def test_whoever_loses_their_factor_is_signed_out_before_the_run_is_done(world: World, organization: Organization) -> None:
    protected = await a_member(world.db, organization.id, factor=True)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("SELECT app.remove_second_factor($1)", protected.id)
    status = await world.run_to_end(run)
    assert await world.live(protected) == []
    assert world.kinds(protected) == ["signed_out"]
    assert (status["verdicts"]["unprotected"], status["verdicts"]["protected"]) == (3, 1)


async def test_signing_in_to_set_up_a_factor_neither_ends_nor_holds_up_anything(world: World, organization: Organization) -> None:
    member = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    session = await world.db.fetchrow("SELECT * FROM app.sign_in($1, 'password')", member.id)
    assert session is not None
    assert session["restricted_to_enrolment"]
    assert (await world.run_to_end(run))["sessions_ended"] == 2
    assert await world.db.fetchval("SELECT ended_at IS NULL FROM app.sessions WHERE session_id = $1", session["session_id"])


@pytest.mark.survives("on, off, on within a second; two admins at once", "I4 I8 I19")
async def test_on_off_on_leaves_one_live_run_and_one_letter_each(world: World, organization: Organization) -> None:
    first = await world.require(organization)
    await world.lift(organization)
    second = await world.require(organization)
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.run WHERE state = 'running'") == 1
    await world.run_to_end(second)
    await world.run_to_end(first)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 2
    assert await world.db.fetchval("SELECT epoch FROM portcullis.policy") == 3


async def test_admins_at_many_keyboards_open_one_run(world: World, organization: Organization) -> None:
    ask = "SELECT portcullis.require_second_factor($1, $2, 'audit')"
    await world.checker.look(world.history)
    runs = await asyncio.gather(*[world.pool.fetchval(ask, organization.id, organization.admin.id) for _ in range(5)])
    assert len(set(runs)) == 1
    await world.run_to_end(runs[0])
    assert await world.require(organization) == runs[0], "the requirement stands: the same run, and no second letters"
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 2


async def test_switched_on_again_after_a_cancel_a_new_run_does_the_rest(world: World, organization: Organization) -> None:
    first = await world.require(organization)
    await world.step("plan_run")
    await world.cancel(first)
    second = await world.require(organization)
    assert second != first
    await world.run_to_end(second)
    await world.run_to_end(first)
    assert await world.live(*organization.members) == []


async def test_of_two_organizations_that_both_require_it_each_writes_and_the_session_ends_once(world: World) -> None:
    ours, theirs = await an_organization(world.db), await an_organization(world.db, name="Other")
    both = await a_member(world.db, ours.id)
    await world.db.execute("SELECT app.join_organization($1, $2)", theirs.id, both.id)
    bound = await a_session(world.db, both.id, organization=theirs.id)
    first, second = await world.require(ours), await world.require(theirs)
    await world.run_to_end(first)
    await world.run_to_end(second)
    assert world.kinds(both) == ["signed_out", "signed_out"]
    assert bound not in await world.live(both)
    assert (await world.letter(first, both))["sessions_ended"] + (await world.letter(second, both))["sessions_ended"] == 2


@pytest.mark.survives("a member of two organizations", "I1 I7")
async def test_two_runs_over_the_same_members_at_once_get_into_no_deadlock(world: World) -> None:
    ours, theirs = await an_organization(world.db), await an_organization(world.db, name="Other")
    members = [await a_member(world.db, ours.id) for _ in range(20)]
    for member in members:
        await world.db.execute("SELECT app.join_organization($1, $2)", theirs.id, member.id)
    runs = [await world.require(ours), await world.require(theirs)]
    await world.step("plan_run")
    await asyncio.gather(*[world.hand_over(hint) for hint in await world.look()])
    assert await world.live(*members) == []
    for run in runs:
        await world.run_to_end(run)
