"""The checker is checked: one clean run is clean, and each invariant that is broken in what was found of it is named."""

import asyncio
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import Member, a_member, a_session, an_organization
from tests.checker import Accepted, Evidence, History, Row, Stop, find_violations
from tests.conftest import Databases, _install
from tests.pipeline.world import World, a_world
from workers.demo.main_app import IdType
from workers.demo.servers import Servers

MOMENT = timedelta(milliseconds=1)


class Past:
    """What was found of a run that is done, with somebody of each kind and a stranger. Every test has a copy of its own to spoil."""

    def __init__(self, evidence: Evidence, members: dict[str, Member], run: int) -> None:
        self.evidence = evidence
        self.members = members
        self.run = run

    def found(self) -> set[str]:
        """Return the numbers of the invariants that are violated."""
        return {line[: line.index(":")] for line in find_violations(self.evidence)}

    def letter(self, who: str, slot: str = "notice") -> Row:
        """Return a row of the ledger."""
        (row,) = (row for row in self.evidence.letters if (row["slot"], row["member"]) == (slot, str(self.members[who].id)))
        return row

    def batch(self, stage: str) -> Row:
        """Return the first batch of a stage."""
        return next(row for row in self.evidence.batches if row["stage"] == stage)

    def accepted(self, who: str) -> Accepted:
        """Return the letter that the relay has for somebody."""
        return next(letter for letter in self.evidence.accepted if letter.recipient == self.members[who].email)

    def end(self, who: str, *, started_with: str = "password", by_run: bool = True, after: timedelta = MOMENT) -> None:
        """Find one more session that has ended, so long after the last picture of everybody but the very last."""
        at = self.evidence.history.pictures[-2].ended + after
        ended = {"session_id": "99", "member": str(self.members[who].id), "organization": None, "started_with": started_with}
        assert self.evidence.ended is not None
        self.evidence.ended.append(ended | {"by_run": by_run, "transaction_began": at, "at": at})


async def the_past(database_url: str, redis_url: str) -> Past:
    async with a_world(database_url, redis_url) as world:
        organization, other = await an_organization(world.db), await an_organization(world.db, name="Other")
        members = {
            "admin": organization.admin,
            "unprotected": await a_member(world.db, organization.id),
            "late": await a_member(world.db, organization.id),
            "protected": await a_member(world.db, organization.id, factor=True),
            "sso": await a_member(world.db, organization.id, password=False, sso=True, sessions=["sso"]),
            "stranger": await a_member(world.db, other.id),
        }
        run = await world.require(organization)
        await world.run_to_end(run)
        await world.enrol(members["late"])
        await a_session(world.db, members["unprotected"].id)
        return Past(await world.gather(), members, run)


@pytest.fixture(scope="module")
def kept(databases: Databases, servers: Servers) -> Iterator[Past]:
    template = databases.template("installed", IdType.BIGINT, build=lambda url: _install(url, IdType.BIGINT))
    name = databases.create(template)
    yield asyncio.run(the_past(databases.url_of(name), servers.redis_url))
    databases.drop(name)


@pytest.fixture
def past(kept: Past) -> Past:
    return Past(deepcopy(kept.evidence), kept.members, kept.run)


def test_a_clean_run_is_clean_even_if_somebody_signed_in_or_enrolled_afterwards(past: Past) -> None:
    assert find_violations(past.evidence) == []


async def test_sessions_are_seen_ending_and_by_whom(world: World) -> None:
    organization = await an_organization(world.db, members=1)
    await world.db.execute("UPDATE app.sessions SET ended_at = now() WHERE user_id = $1", organization.admin.id)
    await world.run_to_end(await world.require(organization))
    evidence = await world.gather()
    assert evidence.ended is not None
    assert {row["member"]: row["by_run"] for row in evidence.ended} == {
        str(organization.admin.id): False,
        str(organization.members[0].id): True,
    }


@pytest.mark.parametrize("who", ["protected", "sso", "late"])
def test_a_session_of_somebody_who_complies_was_ended(past: Past, who: str) -> None:
    past.end(who, after=timedelta(seconds=1))
    assert "I1" in past.found()


def test_an_sso_born_session_was_ended(past: Past) -> None:
    past.end("unprotected", started_with="sso")
    assert "I1" in past.found()


def test_a_session_that_the_app_ended_itself_is_no_matter_of_ours(past: Past) -> None:
    past.end("protected", by_run=False)
    assert past.found() == set()


def test_somebody_enrolled_while_the_batch_decided_and_both_orders_are_right(past: Past) -> None:
    past.end("late", after=-(past.evidence.history.pictures[-2].ended - past.evidence.history.pictures[-2].begun) / 2)
    assert past.found() == {"I6"}, "only that nobody wrote it down"


def test_done_with_an_unprotected_session_from_before(past: Past) -> None:
    session = next(row for row in past.evidence.sessions if row["member"] == str(past.members["unprotected"].id))
    session["started_at"] -= timedelta(days=1)
    assert past.found() == {"I2"}
    session["started_with"] = "sso"
    assert past.found() == set()


def test_done_and_somebody_was_not_judged(past: Past) -> None:
    past.evidence.letters.remove(past.letter("sso"))
    assert past.found() == {"I2", "I4", "I6"}


def test_a_letter_sent_twice_without_reason(past: Past) -> None:
    past.evidence.accepted.append(past.accepted("protected"))
    assert past.found() == {"I4"}


@pytest.mark.parametrize("reason", ["doubt", "crash"])
def test_a_letter_sent_twice_after_a_doubt_or_by_a_mailer_that_was_killed(past: Past, reason: str) -> None:
    past.evidence.accepted.append(past.accepted("protected"))
    past.letter("protected")["doubts"] = int(reason == "doubt")
    past.evidence.history.mailer_crashes = int(reason == "crash")
    assert past.found() == set()


def test_more_doubles_than_a_killed_mailer_explains(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.checker.UNRECORDED", 0)
    past.evidence.history.mailer_crashes, past.evidence.history.connections = 1, 1
    past.evidence.accepted += past.evidence.accepted[:2]
    assert past.found() == set()
    past.evidence.accepted += past.evidence.accepted[2:3]
    assert past.found() == {"I4"}


def test_a_letter_that_was_lost(past: Past) -> None:
    past.evidence.accepted.remove(past.accepted("protected"))
    assert past.found() == {"I4"}


def test_a_letter_that_nobody_owed(past: Past) -> None:
    past.evidence.accepted.append(replace(past.accepted("sso"), message_id="<k1.0123456789abcdef0123456789abcdef@app.example.com>"))
    assert past.found() == {"I4"}


@pytest.mark.parametrize("state", ["refused", "suppressed", "cancelled"])
def test_a_letter_of_which_the_ledger_and_the_relay_say_different_things(past: Past, state: str) -> None:
    past.letter("sso")["state"] = state
    assert past.found() == {"I4", "I6"}


def test_done_with_a_letter_still_owed(past: Past) -> None:
    past.letter("unprotected")["state"] = "owed"
    past.evidence.accepted.remove(past.accepted("unprotected"))
    assert past.found() == {"I4", "I6"}


def test_a_letter_that_left_after_its_run_was_stopped(past: Past) -> None:
    past.evidence.history.stops.append(Stop(run_id=past.run, at=datetime.now(UTC) - timedelta(minutes=5)))
    assert {"I5", "I8"} <= past.found()


COUNTS: list[Callable[[Past], None]] = [
    lambda past: past.batch("enforce").update(members=7),
    lambda past: past.batch("enforce").update(sso=2, protected=1),
    lambda past: past.batch("enforce").update(sessions_ended=0),
    lambda past: past.batch("notice").update(accepted=1, refused=1),
    lambda past: past.batch("report").update(accepted=0),
    lambda past: past.batch("enforce").update(state="dead"),
    lambda past: past.evidence.runs[0].update(state="cancelled"),
    lambda past: past.letter("unprotected").update(sessions_ended=0),
]


@pytest.mark.parametrize("spoil", COUNTS)
def test_counts_that_do_not_add_up(past: Past, spoil: Callable[[Past], None]) -> None:
    spoil(past)
    assert "I6" in past.found()


def test_a_stopped_run_whose_letters_nobody_settles(past: Past) -> None:
    past.batch("notice").update(state="cancelled", done_at=None)
    assert "I6" in past.found()


def test_a_session_of_somebody_elses_member_was_ended(past: Past) -> None:
    past.end("stranger")
    assert "I7" in past.found()


def test_a_row_about_somebody_elses_member(past: Past) -> None:
    past.letter("sso")["member"] = str(past.members["stranger"].id)
    assert "I7" in past.found()


def test_a_running_run_whose_epoch_is_over(past: Past) -> None:
    past.evidence.runs[0].update(state="running", finished_at=None)
    past.evidence.policies[0]["epoch"] += 1
    assert "I8" in past.found()


def test_a_letter_in_another_runs_batch(past: Past) -> None:
    past.letter("admin", "report")["batch_id"] = 0
    assert past.found() == {"I8"}


def test_a_run_that_should_have_ended(past: Past) -> None:
    past.evidence.runs[0].update(state="running", finished_at=None)
    assert past.found() == {"I11"}
    past.evidence.runs.clear()
    past.evidence.letters.clear()
    assert "I11" in past.found()


def test_too_many_hints_in_redis(past: Past) -> None:
    past.evidence.history.hints = [3, past.evidence.history.most_hints + 1]
    assert past.found() == {"I17"}


def test_a_letter_that_does_not_fit_its_member(past: Past) -> None:
    past.letter("protected")["letter"] = "signed_out"
    past.evidence.accepted = [replace(letter, kind=None) for letter in past.evidence.accepted]
    assert past.found() == {"I18"}


def test_another_letter_than_the_ledger_says(past: Past) -> None:
    letter = past.accepted("protected")
    past.evidence.accepted[past.evidence.accepted.index(letter)] = replace(letter, kind="signed_out")
    assert past.found() == {"I18"}


def test_a_session_ended_after_the_requirement_was_lifted(past: Past) -> None:
    history: History = past.evidence.history
    history.stops.append(Stop(run_id=past.run, at=history.pictures[-2].ended))
    past.end("unprotected")
    assert "I19" in past.found()


def test_without_a_witness_nothing_is_said_about_sessions_that_ended(past: Past) -> None:
    past.end("stranger")
    past.evidence.ended = None
    assert past.found() == set()
