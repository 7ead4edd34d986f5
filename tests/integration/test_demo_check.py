"""The demo's check lets nothing through: each way in which a run can be wrong is one finding that does not add up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from workers.demo.check import Finding, check_preview, check_run
from workers.demo.letters import Arrived
from workers.demo.people import OrganizationSpec, Seeded, seed

LETTERS = {"unprotected": "signed_out", "protected": "protected", "sso": "single_sign_on"}


@dataclass
class Finished:
    """A run as it should have been, done here by hand and without Portcullis."""

    db: asyncpg.Connection
    seeded: Seeded
    status: dict[str, Any]
    letters: list[Arrived] = field(default_factory=list)

    async def faults(self) -> list[str]:
        findings: list[Finding] = await check_run(self.db, self.status, self.letters, self.seeded)
        return [finding.what for finding in findings if not finding.adds_up]


def a_letter(recipient: str, kind: str) -> Arrived:
    return Arrived(recipient=recipient, kind=kind, path=Path("nowhere"))


@pytest.fixture
async def finished(main_app_database_url: str) -> AsyncIterator[Finished]:
    db = await asyncpg.connect(main_app_database_url)
    try:
        yield await by_hand(db)
    finally:
        await db.close()


async def by_hand(db: asyncpg.Connection) -> Finished:
    seeded, _ = await seed(
        db, OrganizationSpec(members=150), OrganizationSpec(name="Osprey", domain="osprey.example", members=20, shared=5)
    )
    status = {
        "state": "done",
        "requested_at": datetime.now(UTC).isoformat(),
        "members": seeded.members,
        "verdicts": dict(seeded.verdicts) | {"exempt": 0},
        "sessions_ended": seeded.sessions_ended,
        "letters": {str(state): number for state, number in seeded.letters.items()} | {"owed": 0},
        "batches": {"open": 0, "done": 3, "dead": 0},
    }
    people = await db.fetch(
        "SELECT user_id, email, CASE WHEN has_sso AND NOT has_password THEN 'sso' WHEN has_second_factor THEN 'protected'"
        " ELSE 'unprotected' END AS verdict FROM directory.member WHERE organization_id = $1 AND is_active",
        seeded.organization_id,
    )
    unprotected = [row["user_id"] for row in people if row["verdict"] == "unprotected"]
    await db.execute("SELECT directory.end_sessions($1, $2, true)", seeded.organization_id, unprotected)
    letters = [a_letter(_as_sent(row["email"]), LETTERS[row["verdict"]]) for row in people if _is_deliverable(row["email"])]
    return Finished(db, seeded, status, [*letters, a_letter("mara.lindqvist@kestrel.example", "report")])


def _is_deliverable(email: str | None) -> bool:
    local, _, domain = (email or "").rpartition("@")
    refused = local.startswith(("gone.", "unknown."))
    plain = local.isascii() and len(local) < 65 and not set(local) & set("@,<>\r\n ") and ".." not in local
    return bool(local) and plain and not refused and domain.isprintable() and "." in domain


def _as_sent(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


async def test_a_run_done_right_adds_up(finished: Finished) -> None:
    assert await finished.faults() == []


async def test_a_session_that_was_not_ended_is_found(finished: Finished) -> None:
    await finished.db.execute(
        "UPDATE app.sessions SET ended_at = NULL WHERE session_id = (SELECT min(session_id) FROM app.sessions"
        " JOIN app.memberships USING (user_id, organization_id) WHERE started_with = 'password' AND ended_at >= $1)",
        datetime.fromisoformat(finished.status["requested_at"]),
    )
    assert "unprotected members who are still signed in" in await finished.faults()


async def test_a_session_ended_too_much_is_found(finished: Finished) -> None:
    await finished.db.execute("UPDATE app.sessions SET ended_at = clock_timestamp() WHERE user_id = $1", finished.seeded.admin_id)
    assert await finished.faults() == [
        "sessions ended, by the main app's own table",
        "sessions that were to be left alone and are live",
    ]


async def test_a_session_ended_in_the_other_organization_is_found(finished: Finished) -> None:
    await finished.db.execute(
        "UPDATE app.sessions SET ended_at = clock_timestamp() WHERE session_id ="
        " (SELECT max(session_id) FROM app.sessions WHERE organization_id <> $1)",
        finished.seeded.organization_id,
    )
    assert await finished.faults() == ["sessions ended that are another organization's"]


async def test_a_lost_letter_is_found(finished: Finished) -> None:
    finished.letters.pop(0)
    assert await finished.faults() == ["letters to members that arrived"]


async def test_a_letter_sent_twice_is_found(finished: Finished) -> None:
    finished.letters[1] = finished.letters[0]
    assert await finished.faults() == ["members with more than one letter"]


async def test_a_letter_of_the_wrong_kind_and_one_to_a_stranger_are_found(finished: Finished) -> None:
    finished.letters[0] = a_letter(finished.letters[0].recipient, "exempt")
    assert await finished.faults() == ["letters that don't fit who got them"]
    finished.letters[0] = a_letter("somebody@osprey.example", "signed_out")
    assert await finished.faults() == ["letters that don't fit who got them"]


async def test_a_missing_report_is_found(finished: Finished) -> None:
    finished.letters.pop()
    assert await finished.faults() == ["reports to the admin"]


@pytest.mark.parametrize(
    ("claim", "value", "what"),
    [
        ("state", "cancelled", "the run says it is"),
        ("members", 149, "the run's members"),
        ("sessions_ended", 0, "the run's ended sessions"),
        ("verdicts", {"unprotected": 150}, "the run's verdicts"),
        ("letters", {"accepted": 150}, "the run's letters per outcome"),
        ("batches", {"dead": 1}, "batches that were given up"),
    ],
)
async def test_a_false_claim_of_the_run_is_found(finished: Finished, claim: str, value: object, what: str) -> None:
    finished.status[claim] = value
    assert await finished.faults() == [what]


async def test_a_preview_that_is_off_by_one_is_found(finished: Finished) -> None:
    rows: list[dict[str, Any]] = [
        {"verdict": verdict, "kind": kind, "members": members, "sessions": 0}
        for (verdict, kind), members in finished.seeded.by_kind.items()
    ]
    rows[0]["sessions"] = finished.seeded.sessions_ended
    assert all(finding.adds_up for finding in check_preview(rows, finished.seeded))
    rows[0]["members"] += 1
    assert [finding.adds_up for finding in check_preview(rows, finished.seeded)] == [False, True]
