"""Options of a requirement: a date, reminders before it, a grace for joiners, kinds exempted and no longer; shortest and strictest win."""

import email
import email.policy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from jobs import client
from jobs.claiming import Work, run_claimed
from jobs.client import NotCompliant, NothingToLift, Requirement, UnfitOption
from jobs.resources import Resources
from jobs.stages.enforce import enforce
from jobs.stages.finish import close_run
from jobs.stages.plan import plan
from jobs.stages.remind import write_letters
from jobs.store.batches import Stage
from jobs.store.database import open_pool
from tests.builders import Member, Organization, a_member, an_organization
from tests.integration.switch_parts import EVERY_ID_TYPE
from tests.pipeline.world import a_mailroom
from tests.relay import Relay

STAGES: dict[Stage, Work] = {Stage.PLAN: plan, Stage.ENFORCE: enforce, Stage.SETTLE: close_run, Stage.FINISH: close_run}

WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)

FACTOR = "SELECT app.confirm_second_factor($1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An organization, somebody to work for it, and a clock that can be turned on."""

    db: asyncpg.Connection
    resources: Resources
    relay: Relay
    organization: Organization

    async def require(self, **options: Any) -> int:
        return await client.require_second_factor(
            self.db, self.organization.id, requested_by=self.organization.admin.id, reason="audit", **options
        )

    async def change(self, **options: Any) -> int:
        return await client.change_second_factor(
            self.db, self.organization.id, requested_by=self.organization.admin.id, reason="audit", **options
        )

    async def in_time(self, ahead: timedelta) -> datetime:
        return await self.db.fetchval("SELECT now()") + ahead  # type: ignore[no-any-return]  # asyncpg has no types

    async def turn_clock(self, by: timedelta) -> None:
        """Let time pass: everything that lies ahead comes nearer, and what has happened goes farther away."""
        await self.db.execute(
            "UPDATE portcullis.policy SET effective_at = effective_at - $1::interval, changed_at = changed_at - $1::interval", by
        )
        await self.db.execute("UPDATE portcullis.run SET effective_at = effective_at - $1::interval", by)
        await self.db.execute("UPDATE portcullis.batch SET next_at = next_at - $1::interval", by)
        await self.db.execute("UPDATE portcullis.joiner SET joined_at = joined_at - $1::interval, ends_at = ends_at - $1::interval", by)

    async def work(self) -> None:
        """Do whatever is due, until nothing is."""
        due = (
            "SELECT b.run_id, b.batch_id, b.token, b.stage FROM portcullis.batch b JOIN portcullis.run r USING (run_id)"
            " JOIN portcullis.policy p USING (organization_id)"
            " WHERE b.state = 'open' AND b.next_at <= now() AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)"
            " AND (b.stage <> 'finish' OR NOT EXISTS (SELECT FROM portcullis.batch o WHERE o.run_id = b.run_id AND o.state = 'open'"
            " AND o.stage IN ('plan', 'enforce', 'notice'))) ORDER BY b.urgency, b.batch_id LIMIT 1"
        )
        while row := await self.db.fetchrow(due):
            stage = Stage(row["stage"])
            batch = {"run_id": row["run_id"], "batch_id": row["batch_id"], "token": row["token"]}
            await run_claimed(self.resources, STAGES.get(stage, write_letters), stages=(stage,), **batch)

    async def gate(self, member: Member, started_with: str = "password") -> Requirement:
        """What the gate answers; the three questions agree where there is one organization."""
        answers = {
            await client.gate(self.db, member.id, self.organization.id, started_with=started_with),
            await client.gate(self.db, member.id, None, started_with=started_with),
        }
        async with self.db.transaction():
            answers.add(await client.sign_in_requirement(self.db, member.id, started_with=started_with))
        [answer] = answers
        return answer

    async def join(self, *, tells: bool = True, **facts: Any) -> Member:
        """Somebody joins; the app tells Portcullis unless it forgets to."""
        member = await a_member(self.db, self.organization.id, **facts)
        if tells:
            await client.member_joined(self.db, self.organization.id, member.id)
        return member

    async def live(self, member: Member) -> int:
        return int(await self.db.fetchval("SELECT count(*) FROM directory.session WHERE user_id = $1", member.id))

    async def ledger(self, slot: str) -> dict[Any, tuple[str, str | None]]:
        rows = await self.db.fetch("SELECT member_id, state, reason FROM portcullis.delivery WHERE slot = $1", slot)
        return {row["member_id"]: (row["state"], row["reason"]) for row in rows}

    def mail(self) -> list[tuple[str, str]]:
        """Recipient and subject of every letter that arrived, in order."""
        read = [email.message_from_bytes(content, policy=email.policy.default) for content in self.relay.contents]
        return [(message["To"].addresses[0].addr_spec, message["Subject"].partition(": ")[2]) for message in read]


@pytest.fixture
async def scene(db: asyncpg.Connection, database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    pool = await open_pool(database_url, size=4)
    async with Relay() as relay, a_mailroom(pool, redis_url, relay) as mail:
        resources = Resources(pool=pool, holder="test", mail=mail)
        yield Scene(db=db, resources=resources, relay=relay, organization=await an_organization(db, members=2))
    await pool.close()


SET_UP, NONE = Requirement.SECOND_FACTOR_SETUP, Requirement.NONE
SOON = "set up two-factor authentication soon"


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


# A grace for joiners


async def test_a_joiner_has_time_and_then_no_more(scene: Scene) -> None:
    run = await scene.require(grace=3 * DAY)
    joiner = await scene.join()
    forgotten = await scene.join(tells=False)
    assert (await scene.gate(joiner), await scene.gate(forgotten)) == (NONE, SET_UP), "without being told of there is none"
    await scene.work()
    assert (await client.run_status(scene.db, run)).state == "done", "somebody within their grace doesn't hold the run"
    assert (await scene.live(joiner), await scene.live(forgotten)) == (1, 0)
    assert joiner.id not in await scene.ledger("notice")
    deadline = await client.second_factor_deadline(scene.db, joiner.id)
    assert deadline is not None
    assert timedelta(0) < await scene.in_time(3 * DAY) - deadline < HOUR
    await scene.turn_clock(3 * DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_who_was_there_at_the_switch_is_no_joiner(scene: Scene) -> None:
    await scene.require(grace=3 * DAY)
    assert await scene.gate(scene.organization.members[0]) == SET_UP


async def test_leaving_and_coming_back_renews_nothing(scene: Scene) -> None:
    await scene.require(grace=3 * DAY)
    joiner = await scene.join()
    first = await client.member_joined(scene.db, scene.organization.id, joiner.id)
    await scene.turn_clock(4 * DAY)
    await scene.db.execute("SELECT app.leave_organization($1, $2)", scene.organization.id, joiner.id)
    assert await scene.gate(joiner) == NONE, "leaving lifts the requirement at once"
    await scene.db.execute("SELECT app.join_organization($1, $2)", scene.organization.id, joiner.id)
    again = await client.member_joined(scene.db, scene.organization.id, joiner.id)
    assert first is not None
    assert again == first - 4 * DAY
    assert await scene.gate(joiner) == SET_UP


async def test_where_nothing_is_required_joining_grants_nothing(scene: Scene) -> None:
    joiner = await scene.join()
    assert await client.member_joined(scene.db, scene.organization.id, joiner.id) is None
    await scene.require(grace=3 * DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_a_joiner_before_the_date_has_until_whichever_is_later(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(DAY), grace=3 * DAY)
    joiner = await scene.join()
    await scene.turn_clock(2 * DAY)
    assert (await scene.gate(joiner), await scene.gate(scene.organization.members[0])) == (NONE, SET_UP)
    await scene.work()
    assert await scene.live(joiner) == 1
    await scene.turn_clock(DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_a_shorter_grace_holds_at_once_and_a_longer_one_gives_nothing_back(scene: Scene) -> None:
    await scene.require(grace=10 * DAY)
    early = await scene.join()
    await scene.turn_clock(5 * DAY)
    late = await scene.join()
    await scene.change(grace=3 * DAY)
    assert (await scene.gate(early), await scene.gate(late)) == (SET_UP, NONE)
    await scene.change(grace=20 * DAY)
    assert (await scene.gate(early), await scene.gate(late)) == (SET_UP, NONE), "what has run out has run out"
    await scene.turn_clock(19 * DAY)
    assert await scene.gate(late) == NONE, "who had time left has more of it"
    await scene.change(grace=timedelta(0))
    assert await scene.gate(late) == SET_UP


async def test_joined_without_a_grace_a_later_one_is_not_for_them(scene: Scene) -> None:
    await scene.require()
    joiner = await scene.join()
    await scene.change(grace=30 * DAY)
    assert await scene.gate(joiner) == SET_UP
    assert await scene.gate(await scene.join()) == NONE


async def test_over_several_organizations_the_shortest_wins(scene: Scene) -> None:
    other = await an_organization(scene.db, name="Other")
    await scene.require(grace=10 * DAY)
    soon = await scene.in_time(2 * DAY)
    await client.require_second_factor(scene.db, other.id, requested_by=other.admin.id, reason="audit", effective_at=soon)
    joiner = await scene.join()
    await scene.db.execute("SELECT app.join_organization($1, $2)", other.id, joiner.id)
    assert await client.second_factor_deadline(scene.db, joiner.id) == soon
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == NONE
    await scene.turn_clock(2 * DAY)
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == SET_UP
    assert await client.gate(scene.db, joiner.id, scene.organization.id, started_with="password") == NONE
    await scene.db.execute("SELECT app.leave_organization($1, $2)", other.id, joiner.id)
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == NONE


async def test_a_deadline_is_for_those_alone_whom_it_concerns(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(2 * DAY), exempt_kinds=["client"])
    [member, _] = scene.organization.members
    exempt = await a_member(scene.db, scene.organization.id, kind="client")
    assert await client.second_factor_deadline(scene.db, member.id) is not None
    for nobody in (exempt.id, scene.organization.admin.id):
        assert await client.second_factor_deadline(scene.db, nobody) is None


# Kinds


async def test_a_kind_that_is_no_longer_exempted_is_asked_at_once_and_told_by_a_run_of_its_own(scene: Scene) -> None:
    exempt = await a_member(scene.db, scene.organization.id, kind="client")
    first = await scene.require(exempt_kinds=["client", "service"], grace=5 * DAY)
    await scene.work()
    assert (await scene.gate(exempt), await scene.live(exempt)) == (NONE, 1)
    second = await scene.change(exempt_kinds=["service"])
    assert second != first
    assert await scene.gate(exempt) == SET_UP
    await scene.work()
    assert await scene.live(exempt) == 0
    assert (exempt.email, "set up two-factor authentication") in scene.mail()
    assert await scene.db.fetchval("SELECT grace FROM portcullis.policy") == 5 * DAY, "the other options stay"


async def test_a_kind_that_is_exempted_from_now_on_is_let_in_without_a_new_run(scene: Scene) -> None:
    member = await a_member(scene.db, scene.organization.id, kind="client")
    first = await scene.require()
    await scene.work()
    letters = len(scene.mail())
    assert await scene.gate(member) == SET_UP
    assert await scene.change(exempt_kinds=["client"]) == first
    assert await scene.gate(member) == NONE
    await scene.work()
    assert len(scene.mail()) == letters


async def test_before_the_date_kinds_change_without_a_new_run(scene: Scene) -> None:
    member = await a_member(scene.db, scene.organization.id, kind="client")
    run = await scene.require(effective_at=await scene.in_time(3 * DAY), exempt_kinds=["client"])
    await scene.work()
    assert member.email not in [to for to, _ in scene.mail()]
    assert await scene.change(exempt_kinds=[]) == run
    await scene.turn_clock(2 * DAY)
    await scene.work()
    assert member.email in [to for to, _ in scene.mail()]
    await scene.turn_clock(DAY)
    await scene.work()
    assert await scene.live(member) == 0


async def test_whoever_exempts_their_own_kind_still_has_to_comply(scene: Scene) -> None:
    """The last admin who complies can't be taken out of the requirement: who changes it is one, whatever kind they are."""
    await scene.require()
    await scene.change(exempt_kinds=["employee"])
    verdict = await scene.db.fetchval("SELECT portcullis.complies($1, $2)", scene.organization.id, scene.organization.admin.id)
    assert verdict is True
    assert (
        await scene.db.fetchval(
            "SELECT count(*) FROM portcullis.runs_alone($1, $1, $2)", scene.organization.admin.id, scene.organization.id
        )
        == 1
    )
