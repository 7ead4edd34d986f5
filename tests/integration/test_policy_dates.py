"""A requirement with a date: nothing before it, reminders a week and a day ahead, and the date moved."""

import email
import email.policy
from datetime import timedelta

import pytest

from jobs import client
from jobs.claiming import run_claimed
from jobs.client import NotCompliant, NothingToLift, UnfitOption
from jobs.stages.remind import write_letters
from jobs.store.batches import Stage
from tests.builders import a_member
from tests.integration.policy_parts import DAY, FACTOR, HOUR, NONE, SET_UP, SOON, WEEK, Scene
from tests.integration.switch_parts import EVERY_ID_TYPE

pytest_plugins = ["tests.integration.policy_fixtures"]


# A date


@EVERY_ID_TYPE
async def test_before_its_date_a_requirement_asks_nothing_and_ends_nothing_and_from_then_on_everything(scene: Scene) -> None:
    [member, _] = scene.organization.members
    run = await scene.require(effective_at=await scene.in_time(30 * DAY))
    await scene.work()
    assert (await scene.gate(member), await scene.live(member)) == (NONE, 1)
    assert scene.relay.contents == []
    status = await client.run_status(scene.db, run)
    assert (status.state, status.effective_at) == ("running", await scene.db.fetchval("SELECT effective_at FROM portcullis.policy"))

    await scene.turn_clock(30 * DAY - HOUR)
    await scene.work()
    assert (await scene.gate(member), await scene.live(member)) == (NONE, 1)
    await scene.turn_clock(HOUR)
    assert await scene.gate(member) == SET_UP, "with no worker having done anything"
    assert await scene.gate(member, "sso") == NONE
    await scene.work()
    status = await client.run_status(scene.db, run)
    assert (status.state, status.members, status.sessions_ended) == ("done", 3, 2)
    assert await scene.live(member) == 0


async def test_a_date_that_has_passed_is_at_once(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(-DAY))
    assert await scene.gate(scene.organization.members[0]) == SET_UP


async def test_while_it_stands_requiring_again_changes_nothing(scene: Scene) -> None:
    date = await scene.in_time(30 * DAY)
    first = await scene.require(effective_at=date, grace=3 * DAY)
    assert await scene.require() == first
    assert await scene.require(effective_at=await scene.in_time(60 * DAY), exempt_kinds=["employee"]) == first
    row = await scene.db.fetchrow("SELECT effective_at, grace, exempt_kinds FROM portcullis.policy")
    assert tuple(row) == (date, 3 * DAY, [])


async def test_options_do_not_outlive_the_requirement(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(30 * DAY), grace=3 * DAY)
    await client.lift_second_factor(scene.db, scene.organization.id, requested_by=scene.organization.admin.id, reason="no")
    await scene.require()
    assert await scene.gate(scene.organization.members[0]) == SET_UP, "immediate stays the default"
    assert await scene.db.fetchval("SELECT grace FROM portcullis.policy") is None


@pytest.mark.parametrize("away", [timedelta(days=367), timedelta(days=200_000)])
async def test_a_date_too_far_away_is_refused(scene: Scene, away: timedelta) -> None:
    with pytest.raises(UnfitOption, match="more than a year away"):
        await scene.require(effective_at=await scene.in_time(away))
    assert await scene.db.fetchval("SELECT count(*) FROM portcullis.policy") == 0


@pytest.mark.parametrize("grace", [timedelta(days=-1), timedelta(days=400)])
async def test_a_grace_that_is_none_is_refused(scene: Scene, grace: timedelta) -> None:
    with pytest.raises(UnfitOption, match="is none"):
        await scene.require(grace=grace)
    await scene.require()
    with pytest.raises(UnfitOption, match="is none"):
        await scene.change(grace=grace)


# Reminders


async def test_reminders_leave_a_week_and_a_day_before_to_those_whom_it_would_hit(scene: Scene) -> None:
    [first, second] = scene.organization.members
    await a_member(scene.db, scene.organization.id, factor=True)
    await a_member(scene.db, scene.organization.id, password=False, sso=True)
    await a_member(scene.db, scene.organization.id, active=False)
    await scene.require(effective_at=await scene.in_time(30 * DAY))
    await scene.turn_clock(23 * DAY - HOUR)
    await scene.work()
    assert scene.mail() == []
    await scene.turn_clock(HOUR)
    await scene.work()
    assert scene.mail() == [(first.email, SOON), (second.email, SOON)]
    await scene.work()
    assert len(scene.mail()) == 2, "once"

    await scene.db.execute(FACTOR, first.id)
    await scene.turn_clock(6 * DAY)
    await scene.work()
    assert scene.mail()[2:] == [(second.email, SOON)], "whoever has set it up meanwhile is left in peace"
    await scene.turn_clock(DAY)
    await scene.work()
    told: dict[str | None, str] = dict(scene.mail()[3:-1])
    assert told[second.email] == "set up two-factor authentication"
    assert told[first.email] == "you already use two-factor authentication"
    assert scene.mail()[-1] == (scene.organization.admin.email, "two-factor authentication is in force")


async def test_a_reminder_names_the_date_in_the_members_own_time(scene: Scene) -> None:
    date = await scene.in_time(10 * DAY)
    await scene.require(effective_at=date)
    await scene.turn_clock(3 * DAY)
    await scene.work()
    message = email.message_from_bytes(scene.relay.contents[0], policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    stands = (date - 3 * DAY).strftime("%-d %B %Y")
    assert body.get_content().count(stands) >= 2
    assert "Mara Lindqvist (administrator)" in body.get_content()


@pytest.mark.parametrize(("ahead", "at_once"), [(3 * DAY, 1), (5 * HOUR, 1), (WEEK, 1), (8 * DAY, 0)])
async def test_what_should_have_left_already_leaves_at_once(scene: Scene, ahead: timedelta, at_once: int) -> None:
    await scene.require(effective_at=await scene.in_time(ahead))
    await scene.work()
    assert len(scene.mail()) == at_once * len(scene.organization.members)
    slots = {"week"} if ahead > DAY else {"day"}
    rows = await scene.db.fetch("SELECT DISTINCT slot FROM portcullis.delivery")
    assert {row["slot"] for row in rows} == (slots if at_once else set())


async def test_who_sets_it_up_between_planning_and_sending_gets_none(scene: Scene) -> None:
    [first, second] = scene.organization.members
    run = await scene.require(effective_at=await scene.in_time(3 * DAY))
    row = await scene.db.fetchrow("SELECT batch_id, token FROM portcullis.batch WHERE stage = 'remind_week'")
    await run_claimed(scene.resources, write_letters, stages=(Stage.REMIND_WEEK,), run_id=run, batch_id=row["batch_id"], token=row["token"])
    batch = await scene.db.fetchval("SELECT batch_id FROM portcullis.batch WHERE stage = 'week'")
    await scene.db.execute(
        "INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, letter)"
        " VALUES ($1, 'week', $2, $3, 'unprotected', 'owed', 'reminder')",
        *(run, first.id, batch),
    )
    await scene.db.execute("UPDATE portcullis.batch SET owed = 1 WHERE batch_id = $1", batch)
    await scene.db.execute(FACTOR, first.id)
    await scene.work()
    assert await scene.ledger("week") == {first.id: ("suppressed", "complies"), second.id: ("accepted", None)}


async def test_after_the_date_no_reminder_leaves_and_none_stays_open(scene: Scene) -> None:
    """The mailers were away for the whole week; what they find then is stale."""
    run = await scene.require(effective_at=await scene.in_time(30 * DAY))
    await scene.turn_clock(30 * DAY)
    await scene.work()
    assert not [said for _, said in scene.mail() if said == SOON]
    open_now = await scene.db.fetch("SELECT stage FROM portcullis.batch WHERE run_id = $1 AND state = 'open'", run)
    assert open_now == []
    assert (await client.run_status(scene.db, run)).state == "done"


async def test_letters_of_a_reminder_that_did_not_leave_in_time_are_cancelled_in_the_ledger(scene: Scene) -> None:
    run = await scene.require(effective_at=await scene.in_time(3 * DAY))
    [first, _] = scene.organization.members
    await scene.db.execute("UPDATE app.users SET email = 'later@kestrel.example' WHERE user_id = $1", first.id)
    scene.relay.greylist_seconds = 1_000
    await scene.work()
    assert {state for state, _ in (await scene.ledger("week")).values()} == {"owed"}
    scene.relay.greylist_seconds = 0
    await scene.turn_clock(3 * DAY)
    await scene.work()
    assert {state for state, _ in (await scene.ledger("week")).values()} == {"cancelled"}
    status = await client.run_status(scene.db, run)
    assert status.state == "done"
    assert (status.letters.accepted, status.letters.cancelled) == (3, 0), "reminders are no part of the run's own letters"


async def test_switching_off_and_cancelling_stop_reminders(scene: Scene) -> None:
    run = await scene.require(effective_at=await scene.in_time(8 * DAY))
    await client.cancel_run(scene.db, run, reason="wrong day")
    await scene.turn_clock(3 * DAY)
    await scene.work()
    assert scene.mail() == []
    await client.lift_second_factor(scene.db, scene.organization.id, requested_by=scene.organization.admin.id, reason="no")
    await scene.require(effective_at=await scene.in_time(3 * DAY))
    await client.lift_second_factor(scene.db, scene.organization.id, requested_by=scene.organization.admin.id, reason="no")
    await scene.work()
    assert scene.mail() == []


async def test_planning_reminders_goes_on_where_it_was(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is committed with its ranges, which leave nobody out and nobody twice."""
    monkeypatch.setattr("jobs.stages.remind.RANGE", 3)
    monkeypatch.setattr("jobs.stages.remind.RANGES", 2)
    for _ in range(17):
        await a_member(scene.db, scene.organization.id, sessions=())
    await scene.require(effective_at=await scene.in_time(3 * DAY))
    await scene.work()
    assert len(scene.mail()) == len(set(scene.mail())) == 19
    ranges = await scene.db.fetch("SELECT low, high FROM portcullis.batch WHERE stage = 'week' ORDER BY batch_id")
    assert (ranges[0]["low"], ranges[-1]["high"]) == (None, None)
    assert [row["high"] for row in ranges[:-1]] == [row["low"] for row in ranges[1:]]


# Changing the date


async def test_a_date_that_lies_ahead_can_be_moved_both_ways_and_the_reminders_with_it(scene: Scene) -> None:
    [member, _] = scene.organization.members
    run = await scene.require(effective_at=await scene.in_time(30 * DAY))
    assert await scene.change(effective_at=await scene.in_time(60 * DAY)) == run
    await scene.turn_clock(31 * DAY)
    await scene.work()
    assert (await scene.gate(member), scene.mail()) == (NONE, [])
    assert await scene.change(effective_at=await scene.in_time(2 * DAY)) == run
    await scene.work()
    assert len(scene.mail()) == 2
    await scene.turn_clock(2 * DAY)
    assert await scene.gate(member) == SET_UP
    await scene.work()
    assert await scene.live(member) == 0


async def test_a_date_can_be_brought_forward_to_now(scene: Scene) -> None:
    [member, _] = scene.organization.members
    run = await scene.require(effective_at=await scene.in_time(30 * DAY))
    assert await scene.change(effective_at=await scene.in_time(timedelta(0))) == run
    assert await scene.gate(member) == SET_UP
    await scene.work()
    assert (await client.run_status(scene.db, run)).state == "done"
    assert not [said for _, said in scene.mail() if said == SOON]


async def test_what_applies_already_goes_on_applying_whatever_later_date_is_given(scene: Scene) -> None:
    """Loosening never gives back what has run out."""
    [member, _] = scene.organization.members
    await scene.require()
    await scene.work()
    await scene.change(effective_at=await scene.in_time(30 * DAY))
    assert await scene.gate(member) == SET_UP
    await client.lift_second_factor(scene.db, scene.organization.id, requested_by=scene.organization.admin.id, reason="no")
    assert await scene.gate(member) == NONE, "lifting it is another matter, and said to everybody"


async def test_changing_needs_a_requirement_and_an_admin_who_complies(scene: Scene) -> None:
    with pytest.raises(NothingToLift, match="does not require"):
        await scene.change(grace=DAY)
    await scene.require()
    with pytest.raises(NotCompliant):
        await client.change_second_factor(
            scene.db, scene.organization.id, requested_by=scene.organization.members[0].id, reason="for me", exempt_kinds=["employee"]
        )
