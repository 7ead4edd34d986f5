"""What a member has of the second factor: for a settings page, and for the question whether a sign-in needs one."""

from dataclasses import dataclass
from datetime import datetime

from jobs.client import Id
from jobs.second_factor.errors import NotInTransaction
from jobs.store.database import Connection
from jobs.store.statements import statement

FIND = statement("find_standing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Times are aware. Nothing here is secret; all of it is for the member alone, behind their sign-in."""

    kinds: tuple[str, ...]
    """Kinds of factors that are bound, a disabled one among them; empty: none."""
    confirmed_at: datetime | None
    last_used_at: datetime | None
    is_disabled: bool
    """Too many wrong codes: only a recovery code or an admin's reset helps."""
    pending_until: datetime | None
    """A factor was begun and waits for its first code."""
    recovery_codes_left: int
    recovery_made_at: datetime | None

    @property
    def is_bound(self) -> bool:
        """Whether there is a factor that a sign-in has to ask for."""
        return bool(self.kinds)


async def standing(db: Connection, user_id: Id, *, at: datetime | None = None) -> Standing:
    """Return what this user has. One row, three index probes."""
    row = await db.fetchrow(FIND, user_id, at)
    return Standing(
        kinds=tuple(row["kinds"]),
        confirmed_at=row["confirmed_at"],
        last_used_at=row["last_used_at"],
        is_disabled=row["disabled_at"] is not None,
        pending_until=row["pending_until"],
        recovery_codes_left=row["recovery_codes_left"],
        recovery_made_at=row["recovery_made_at"],
    )


async def asks(db: Connection, user_id: Id) -> bool:
    """Return whether this user must have shown a second factor, in the transaction that is about to write their password session.

    Until it ends, nobody can add a factor: otherwise a thief's sign-in could slip past the owner's enrolment. Ask
    `sign_in_requirement` first, then this.

    Raises:
        NotInTransaction: `db` is in none.
    """
    if not db.is_in_transaction():
        raise NotInTransaction
    return bool(await db.fetchval("SELECT portcullis.asks_second_factor($1)", user_id))
