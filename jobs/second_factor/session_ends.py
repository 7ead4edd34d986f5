"""Ending a member's other sessions when their factor changes (OWASP ASVS 7.4.3): a thief's session must not outlive the owner's enrolment.

The contract's `directory.end_sessions` can't spare the one session in which the member is doing this, nor make a restricted one a full
one; only the main app knows which that is. So the app gives a function. `end_everywhere` is the ready one where no session is to be spared.
"""

from typing import Protocol

from jobs.client import Id
from jobs.store.database import Connection
from jobs.store.statements import statement

END = statement("end_sessions_of_user")


class EndSessions(Protocol):
    """Ends a user's sessions but the present one, in the transaction that `db` is in, and returns how many; repeat-safe.

    Sessions restricted to enrolment too: theirs may be a thief's. Here is also the place to make the present one a full session.
    """

    async def __call__(self, db: Connection, user_id: Id) -> int:
        """End them."""


async def end_everywhere(db: Connection, user_id: Id) -> int:
    """End every session that the contract lists for this user, in all of their organizations, the present one included."""
    return int(await db.fetchval(END, user_id))
