"""The end of a run: once, twice, after a crash, too late; what is swept before; the report; and the ledger of a run that was stopped."""

import asyncio

import pytest

from jobs.domain.letters import LetterState
from jobs.domain.outcomes import Outcome
from jobs.errors import Deferred, Obsolete
from jobs.stages import finish as finish_stage
from jobs.stages.finish import finish, settle
from jobs.store import deliveries, runs
from tests.builders import Organization, a_member, a_session, an_organization
from tests.pipeline.world import Hint, World
from tests.relay import Rule, Stage


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def all_sent(world: World, organization: Organization) -> tuple[int, Hint]:
    """Run until every letter is out; returns the run and the hint to close it."""
    run = await world.require(organization)
    await world.step_until(lambda: world.has_none(run, "plan", "enforce", "notice"), "plan_run", "enforce_batch", "notify_batch")
    (hint,) = await world.look()
    assert hint.actor == "finish_run"
    return run, hint


async def test_once_the_run_is_done_and_owes_its_admin_a_report(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await world.hand_over(hint)
    assert await world.state(run) == "done"
    assert (await world.letter(run, organization.admin, "report"))["state"] == "owed"
    await world.step()
    assert world.kinds(organization.admin) == ["protected", "report"]


async def test_twice_it_is_done_once(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await world.hand_over(hint)
    finished_at = (await world.status(run))["finished_at"]
    await asyncio.gather(*[world.hand_over(hint) for _ in range(3)])
    await world.run_to_end(run)
    assert (await world.status(run))["finished_at"] == finished_at
    assert world.kinds(organization.admin) == ["protected", "report"]


async def test_by_three_at_once_it_is_done_once(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await asyncio.gather(*[world.hand_over(hint) for _ in range(3)])
    await world.run_to_end(run)
    assert world.kinds(organization.admin) == ["protected", "report"]


async def test_killed_before_the_commit_it_is_done_by_the_next_one(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await world.claim(hint)
    await world.let_leases_end()
    assert (await world.run_to_end(run))["state"] == "done"


async def test_killed_between_the_commit_and_the_report_the_report_leaves_all_the_same(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await world.hand_over(hint)
    (lost,) = await world.look()
    assert lost.actor == "notify_batch"
    await world.hurry()
    await world.step()
    assert world.kinds(organization.admin) == ["protected", "report"]
    assert await world.unfinished() == []
    assert await world.state(run) == "done"


async def test_with_a_stale_token_it_writes_nothing(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    zombie = await world.claim(hint)
    await world.let_leases_end()
    await world.run_to_end(run)
    with pytest.raises(Deferred):
        await finish(world.resources, zombie)
    await a_session(world.db, organization.members[0].id)
    with pytest.raises(Obsolete):
        await finish(world.resources, zombie)
    assert world.kinds(organization.admin) == ["protected", "report"]


async def test_cancelled_meanwhile_it_is_not_done(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    claim = await world.claim(hint)
    await world.cancel(run)
    with pytest.raises(Deferred):
        await finish(world.resources, claim)
    status = await world.run_to_end(run)
    assert (status["state"], status["letters"]["accepted"]) == ("cancelled", 4)
    assert world.kinds(organization.admin) == ["protected"]


async def test_superseded_meanwhile_the_first_is_cancelled_and_the_second_done(world: World, organization: Organization) -> None:
    first, hint = await all_sent(world, organization)
    await world.lift(organization)
    second = await world.require(organization)
    await world.hand_over(hint)
    await world.run_to_end(second)
    assert (await world.state(first), await world.state(second)) == ("cancelled", "done")


# What is swept before a run is done.


async def test_joiners_are_swept_before_the_run_is_done(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    joined = await a_member(world.db, organization.id)
    enrolled = await a_member(world.db, organization.id, factor=True)
    away = await a_member(world.db, organization.id, active=False)
    await world.hand_over(hint)
    assert await world.state(run) == "running"
    status = await world.run_to_end(run)
    assert (status["state"], status["members"]) == ("done", 7)
    assert await world.live(joined, enrolled) == list(enrolled.sessions)
    assert [world.kinds(member) for member in (joined, enrolled, away)] == [["signed_out"], ["protected"], []]


async def test_a_member_whose_session_came_back_is_signed_out_again_without_a_second_letter(
    world: World, organization: Organization
) -> None:
    run, hint = await all_sent(world, organization)
    back = organization.members[1]
    await a_session(world.db, back.id)
    await world.hand_over(hint)
    status = await world.run_to_end(run)
    assert (status["state"], status["sessions_ended"], status["members"]) == ("done", 4, 4)
    assert await world.live(back) == []
    assert world.kinds(back) == ["signed_out"]
    assert (await world.letter(run, back))["sessions_ended"] == 2


async def test_whoever_was_inactive_and_came_back_is_signed_out_and_written_to(world: World) -> None:
    organization = await an_organization(world.db)
    away = await a_member(world.db, organization.id, active=False, sessions=[])
    run, hint = await all_sent(world, organization)
    assert (await world.letter(run, away))["reason"] == "inactive"
    await world.change("UPDATE app.users SET deactivated_at = NULL, email = 'new@kestrel.example' WHERE user_id = $1", away.id)
    await a_session(world.db, away.id)
    await world.hand_over(hint)
    status = await world.run_to_end(run)
    assert (status["verdicts"]["inactive"], status["verdicts"]["unprotected"], status["letters"]["suppressed"]) == (0, 1, 0)
    letter = await world.letter(run, away)
    assert (letter["state"], letter["letter"], letter["recipient"]) == ("accepted", "signed_out", "new@kestrel.example")


@pytest.mark.parametrize("how", ["inactive", "left"])
async def test_whoever_was_away_when_their_letter_was_due_and_came_back_is_written_to_where_they_are_now(
    world: World, organization: Organization, how: str
) -> None:
    away = organization.members[1]
    run = await world.require(organization)
    await world.enforce_all(run)
    leave = "UPDATE app.users SET deactivated_at = now() WHERE user_id = $1"
    if how == "left":
        leave = f"SELECT app.leave_organization({organization.id}, $1)"
    await world.change(leave, away.id)
    await world.step("notify_batch")
    assert (await world.letter(run, away))["reason"] == how
    await world.change("UPDATE app.users SET deactivated_at = NULL, email = 'new@kestrel.example' WHERE user_id = $1", away.id)
    await world.change("SELECT app.join_organization($1, $2)", organization.id, away.id)
    await a_session(world.db, away.id)
    await world.run_to_end(run)
    letter = await world.letter(run, away)
    assert (letter["state"], letter["letter"], letter["recipient"]) == ("accepted", "signed_out", "new@kestrel.example")


async def test_whoever_goes_away_a_second_time_before_their_letter_is_due_is_no_trouble(world: World, organization: Organization) -> None:
    away = organization.members[1]
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("UPDATE app.users SET deactivated_at = now() WHERE user_id = $1", away.id)
    await world.step("notify_batch")
    await world.change("UPDATE app.users SET deactivated_at = NULL WHERE user_id = $1", away.id)
    await a_session(world.db, away.id)
    await world.step_until(lambda: world.has_none(run, "notice"), "notify_batch")
    await world.step("finish_run")
    await world.step("enforce_batch")
    await world.change("UPDATE app.users SET deactivated_at = now() WHERE user_id = $1", away.id)
    assert (await world.run_to_end(run))["letters"]["suppressed"] == 1


async def test_an_app_whose_sessions_come_back_is_swept_ever_more_slowly_and_visibly(world: World, organization: Organization) -> None:
    await world.db.execute("CREATE TABLE immortal (user_id bigint)")
    await world.db.execute("INSERT INTO immortal VALUES ($1)", organization.members[0].id)
    await world.db.execute(
        "CREATE OR REPLACE VIEW directory.session AS SELECT session_id, user_id, organization_id, started_at, started_with"
        " FROM app.sessions WHERE ended_at IS NULL UNION ALL SELECT 0, user_id, NULL, now(), 'password' FROM immortal"
    )
    run, _ = await all_sent(world, organization)
    waits = []
    for _ in range(6):
        await world.hurry()
        await world.step("finish_run")
        (batch,) = await world.batches(run, "finish")
        waits.append((batch["next_at"] - await world.checker.now()).total_seconds())
        await world.step_until(lambda: world.has_none(run, "enforce", "notice"), "enforce_batch", "notify_batch")
    assert [wait > 0.5 for wait in waits] == [False] * 3 + [True] * 3
    assert sorted(waits[3:]) == waits[3:]
    status = await world.status(run)
    assert status["state"] == "running"
    assert any("members joined or are still signed in" in error for error in status["errors"])
    await world.db.execute("DELETE FROM immortal")
    assert (await world.run_to_end(run))["state"] == "done"
    assert (await world.status(run))["errors"] == []


async def test_a_sweep_covers_everybody_who_is_left_in_ranges_that_do_not_overlap(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_stage, "RANGE", 3)
    run, hint = await all_sent(world, organization)
    everybody = [organization.admin, *organization.members, *[await a_member(world.db, organization.id, sessions=[]) for _ in range(9)]]
    for member in everybody[1::2]:
        await a_session(world.db, member.id)
    await world.hand_over(hint)
    ranges = [(batch["low"], batch["high"]) for batch in (await world.batches(run, "enforce"))[1:]]
    ends = [end for bounds in ranges for end in bounds]
    assert ends == sorted(ends, key=lambda end: end or 10**9), "in order and apart"
    status = await world.run_to_end(run)
    assert (status["members"], await world.live(*everybody[1:])) == (13, [])


async def test_killed_in_the_middle_of_a_sweep_the_rest_is_swept_by_the_next_one(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_stage, "RANGE", 1)
    run, hint = await all_sent(world, organization)
    for member in organization.members:
        await a_session(world.db, member.id)
    claim = await world.claim(hint)
    unfinished = await runs.find_unfinished(world.pool, claim, limit=9)
    assert await runs.sweep_range(world.pool, claim, unfinished, size=1) == 1
    await world.let_leases_end()
    status = await world.run_to_end(run)
    assert (status["state"], status["sessions_ended"]) == ("done", 6)


async def test_a_dead_batch_keeps_the_run_from_being_done(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.db.execute("UPDATE portcullis.batch SET state = 'dead', error = 'by hand' WHERE stage = 'notice' AND urgency = 0")
    for _ in range(5):
        await world.step()
        await world.hurry()
    assert await world.state(run) == "running"
    assert await world.replay(run) == 1
    assert (await world.run_to_end(run))["letters"]["accepted"] == 4


# The report.


async def test_the_report_says_how_many_and_who_could_not_be_reached(world: World) -> None:
    organization = await an_organization(world.db, members=2)
    nowhere = await a_member(world.db, organization.id, email=None)
    gone = await a_member(world.db, organization.id, email="gone@kestrel.example")
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", recipient="gone@*"))
    run = await world.require(organization)
    await world.run_to_end(run)
    totals = await world.pool.fetchval("SELECT totals FROM portcullis.run WHERE run_id = $1", run)
    assert (totals["members"], totals["verdicts"]["unprotected"], totals["sessions_ended"]) == (5, 4, 4)
    assert (totals["letters"]["accepted"], totals["letters"]["refused"], totals["letters"]["suppressed"]) == (3, 1, 1)
    assert [(one["member_id"], one["state"], one["reason"]) for one in totals["unreachable"]] == [
        (nowhere.id, "suppressed", "no_address"),
        (gone.id, "refused", "rcpt 550 5.1.1 unknown"),
    ]
    assert totals["unreachable_more"] == 0
    report = world.contents(organization.admin)[-1]
    assert b"gone@kestrel.example" in report


async def test_the_report_names_no_more_than_it_has_room_for_and_counts_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish_stage, "REPORTED_MEMBERS", 2)
    organization = await an_organization(world.db)
    for _ in range(5):
        await a_member(world.db, organization.id, email="nowhere")
    await a_member(world.db, organization.id, active=False)
    run = await world.require(organization)
    await world.run_to_end(run)
    totals = await world.pool.fetchval("SELECT totals FROM portcullis.run WHERE run_id = $1", run)
    assert (len(totals["unreachable"]), totals["unreachable_more"]) == (2, 3)


async def test_whoever_has_left_is_not_counted_as_somebody_who_could_not_be_reached(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.change("SELECT app.leave_organization($1, $2)", organization.id, organization.members[0].id)
    await world.change("SELECT app.deactivate($1)", organization.members[1].id)
    await world.run_to_end(run)
    totals = await world.pool.fetchval("SELECT totals FROM portcullis.run WHERE run_id = $1", run)
    assert (totals["letters"]["suppressed"], totals["unreachable"], totals["unreachable_more"]) == (2, [], 0)


async def test_an_admin_who_has_left_gets_no_report_and_the_run_is_done(world: World, organization: Organization) -> None:
    run, hint = await all_sent(world, organization)
    await world.hand_over(hint)
    await world.change("SELECT app.leave_organization($1, $2)", organization.id, organization.admin.id)
    await world.run_to_end(run)
    assert (await world.letter(run, organization.admin, "report"))["reason"] == "left"


# The ledger of a run that was stopped.


async def test_settling_twice_cancels_each_letter_once(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    (hint,) = await world.look()
    await world.hand_over(hint)
    await world.hand_over(hint)
    letters = (await world.status(run))["letters"]
    assert (letters["cancelled"], letters["owed"]) == (4, 0)
    assert {(await world.letter(run, member))["state"] for member in organization.members} == {"cancelled"}


async def test_settling_waits_for_letters_that_are_on_their_way(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    claim = await world.claim((await world.look())[0])
    marked = await deliveries.mark(world.pool, claim, limit=1, members=None, lease=world.resources.lease)
    await world.cancel(run)
    (hint,) = await world.look()
    settling = await world.claim(hint)
    with pytest.raises(Deferred):
        await settle(world.resources, settling)
    settled = deliveries.Settled(claim=claim, member_id=marked[0].member_id, outcome=Outcome(state=LetterState.REFUSED))
    assert await deliveries.record(world.pool, [settled]) == 1
    await settle(world.resources, settling)
    letters = (await world.status(run))["letters"]
    assert (letters["refused"], letters["cancelled"], letters["sending"]) == (1, 3, 0)


async def test_killed_while_it_settled_the_rest_is_settled_by_the_next_one(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    (hint,) = await world.look()
    await world.claim(hint)
    unsettled = await runs.find_unsettled(world.pool, run)
    assert await runs.settle(world.pool, run, unsettled[-1], "notice")
    await world.let_leases_end()
    await world.run_to_end(run)
    assert {(await world.letter(run, member))["state"] for member in organization.members} == {"cancelled"}
