"""Check a finished run with means of its own: SQL over the main app's tables, and the letters in the Maildir.

Nothing here asks Portcullis, but for what it claims. What it should have done was counted when the people were seeded.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from workers.demo.letters import Arrived
from workers.demo.people import Seeded

UNPROTECTED_SIGNED_IN = """
    SELECT count(*) FROM app.sessions session JOIN app.memberships USING (user_id) JOIN app.users account USING (user_id)
    WHERE memberships.organization_id = $1 AND session.ended_at IS NULL AND session.expires_at > now()
      AND NOT session.restricted_to_enrolment AND coalesce(session.started_with, '') <> 'sso'
      AND (session.organization_id IS NULL OR session.organization_id = $1)
      AND account.deactivated_at IS NULL
      AND (account.password_hash IS NOT NULL OR user_id NOT IN (SELECT user_id FROM app.identities))
      AND user_id NOT IN (SELECT user_id FROM app.second_factors WHERE confirmed_at IS NOT NULL)
"""

SESSIONS = """
    SELECT count(*) FILTER (WHERE ended_at >= $2) AS ended,
           count(*) FILTER (WHERE ended_at IS NULL AND expires_at > now() AND NOT restricted_to_enrolment) AS kept
    FROM app.sessions session JOIN app.memberships USING (user_id)
    WHERE memberships.organization_id = $1 AND (session.organization_id IS NULL OR session.organization_id = $1)
"""

STRANGERS_SIGNED_OUT = """
    SELECT count(*) FROM app.sessions
    WHERE ended_at >= $2 AND (organization_id <> $1 OR user_id NOT IN (SELECT user_id FROM app.memberships WHERE organization_id = $1))
"""

STANDING = """
    SELECT email, CASE
        WHEN deactivated_at IS NOT NULL THEN 'nothing'
        WHEN password_hash IS NULL AND user_id IN (SELECT user_id FROM app.identities) THEN 'single_sign_on'
        WHEN user_id IN (SELECT user_id FROM app.second_factors WHERE confirmed_at IS NOT NULL) THEN 'protected'
        ELSE 'signed_out' END AS letter
    FROM app.users JOIN app.memberships USING (user_id) WHERE organization_id = $1 AND email IS NOT NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was compared. `expected` was counted before the run, `found` after it."""

    what: str
    expected: Any
    found: Any

    @property
    def adds_up(self) -> bool:
        """Whether both are the same."""
        return bool(self.expected == self.found)


def check_preview(rows: Sequence[Mapping[str, Any]], seeded: Seeded) -> list[Finding]:
    """Compare what the admin is shown before the switch."""
    return [
        Finding(
            what="preview: members per verdict and kind",
            expected=dict(seeded.by_kind),
            found={(row["verdict"], row["kind"]): row["members"] for row in rows},
        ),
        Finding(what="preview: sessions that will end", expected=seeded.sessions_ended, found=sum(row["sessions"] for row in rows)),
    ]


async def check_run(db: asyncpg.Connection, status: Mapping[str, Any], letters: Sequence[Arrived], seeded: Seeded) -> list[Finding]:
    """Compare a finished run: its own claims, the main app's tables, the letters."""
    requested_at = await db.fetchval("SELECT $1::text::timestamptz", status["requested_at"])
    sessions = await db.fetchrow(SESSIONS, seeded.organization_id, requested_at)
    signed_in = await db.fetchval(UNPROTECTED_SIGNED_IN, seeded.organization_id)
    strangers = await db.fetchval(STRANGERS_SIGNED_OUT, seeded.organization_id, requested_at)
    standing = {_mailbox(row["email"]): row["letter"] for row in await db.fetch(STANDING, seeded.organization_id)}
    return [
        *_claims(status, seeded),
        Finding(what="unprotected members who are still signed in", expected=0, found=signed_in),
        Finding(what="sessions ended, by the main app's own table", expected=seeded.sessions_ended, found=sessions["ended"]),
        Finding(what="sessions that were to be left alone and are live", expected=seeded.sessions_kept, found=sessions["kept"]),
        Finding(what="sessions ended that are another organization's", expected=0, found=strangers),
        *_mail(letters, standing, seeded),
    ]


def _claims(status: Mapping[str, Any], seeded: Seeded) -> Iterator[Finding]:
    states = {state: number for state, number in status["letters"].items() if number}
    yield Finding(what="the run says it is", expected="done", found=status["state"])
    yield Finding(what="the run's members", expected=seeded.members, found=status["members"])
    yield Finding(
        what="the run's verdicts", expected=dict(seeded.verdicts), found={verdict: n for verdict, n in status["verdicts"].items() if n}
    )
    yield Finding(what="the run's ended sessions", expected=seeded.sessions_ended, found=status["sessions_ended"])
    yield Finding(what="the run's letters per outcome", expected={str(state): n for state, n in seeded.letters.items() if n}, found=states)
    yield Finding(what="batches that were given up", expected=0, found=status["batches"]["dead"])


def _mail(letters: Sequence[Arrived], standing: Mapping[str, str], seeded: Seeded) -> Iterator[Finding]:
    notices = [letter for letter in letters if letter.kind != "report"]
    per_recipient = Counter(letter.recipient for letter in notices)
    yield Finding(what="letters to members that arrived", expected=seeded.letters["accepted"], found=len(notices))
    yield Finding(what="members with more than one letter", expected=0, found=sum(number > 1 for number in per_recipient.values()))
    wrong = [letter for letter in notices if standing.get(letter.recipient) != letter.kind]
    yield Finding(what="letters that don't fit who got them", expected=0, found=len(wrong))
    yield Finding(what="reports to the admin", expected=1, found=len(letters) - len(notices))


def _mailbox(address: str) -> str:
    """Return the address as it stands in an SMTP command; what can't be one stays as it is and equals no recipient."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address
