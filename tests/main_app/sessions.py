"""Write and end the app's sessions. The question what a new one may do and the row itself belong to one transaction."""

from dataclasses import dataclass

import asyncpg

from jobs import client, second_factor
from jobs.client import Requirement
from jobs.second_factor.rules import DORMANT_AFTER

WRITE = """
    INSERT INTO app.sessions (user_id, started_with, restricted_to_enrolment) VALUES ($1, $2, $3) RETURNING session_id
"""
STAY_AWAKE = "UPDATE app.activity SET last_active_at = now() WHERE user_id = $1 AND last_active_at > now() - $2::interval"
WAKE = """
    INSERT INTO app.activity (user_id, last_active_at) VALUES ($1, now())
    ON CONFLICT (user_id) DO UPDATE SET last_active_at = now()
"""
END_OTHERS = """
    WITH ended AS (
        UPDATE app.sessions SET ended_at = clock_timestamp()
        WHERE user_id = $1 AND ended_at IS NULL AND session_id IS DISTINCT FROM $2
        RETURNING 1
    )
    SELECT count(*) FROM ended
"""


async def open_session(db: asyncpg.Connection, user_id: int, started_with: str, *, has_shown_factor: bool = False) -> int | None:
    """Write a session for somebody who has shown who they are, and return its id; `None`: a code is due first.

    Whoever comes from the identity provider owes no code: their second factor is the provider's.
    """
    async with db.transaction(isolation="read_committed"):
        requirement = await client.sign_in_requirement(db, user_id, started_with=started_with)
        if started_with != "sso" and not has_shown_factor and await second_factor.asks(db, user_id):
            return None
        await db.execute(STAY_AWAKE, user_id, DORMANT_AFTER)
        session_id: int = await db.fetchval(WRITE, user_id, started_with, requirement is not Requirement.NONE)
        return session_id


async def wake(db: asyncpg.Connection, user_id: int) -> None:
    """Note that the account is in its owner's hands."""
    await db.execute(WAKE, user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOthers:
    """Ends every session of a user but one, which becomes a full one if it was for enrolment only; `keep=None`: every one."""

    keep: int | None

    async def __call__(self, db: asyncpg.Connection, user_id: object) -> int:
        """End them, in the caller's transaction."""
        ended = await db.fetchval(END_OTHERS, user_id, self.keep)
        await db.execute("UPDATE app.sessions SET restricted_to_enrolment = false WHERE session_id = $1", self.keep)
        return int(ended)
