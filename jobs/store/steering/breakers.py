"""Breakers that people close, because the cause is mended, or hold closed, because they know better."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.store.database import Database
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import Order, Stale, Unknown, carrying_out

CLOSE = statement("close_breaker")
LIST = statement("list_breakers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One breaker, open or not. `scope`: 'relay', 'letter' or 'domain'. `seen_by`: the process that sees it so, '' if all do."""

    scope: str
    subject: str
    seen_by: str
    state: str
    cause: str
    opened_at: datetime
    openings: int
    retry_at: datetime | None
    held_closed_until: datetime | None
    changed_at: datetime
    changed_by: str | None


async def close_breaker(db: Database, order: Order, scope: str, subject: str, *, hold: timedelta | None = None) -> int:
    """Close a breaker, in every process that sees it open; returns in how many. `hold`: it may not open again for so long.

    With `hold` a closed one may be held closed as well.

    Raises:
        Unknown: It has never been open.
        Stale: It is closed already.
    """
    async with carrying_out(db) as connection:
        rows = await connection.fetch(CLOSE, scope, subject, hold, order.actor.strip())
        if not rows:
            raise Unknown("unknown_breaker", f"No breaker {scope} {subject} has been open", "`portcullis breakers` lists them.")
        changed: int = sum(row["is_changed"] for row in rows)
        if not changed:
            raise Stale("not_open", f"The breaker {scope} {subject} is closed already", "Nothing needs doing.")
        held = {} if hold is None else {"held_seconds": hold.total_seconds()}
        await note(connection, order, "close_breaker", scope=scope, subject=subject, details=held)
        return changed


async def list_breakers(db: Database) -> list[Breaker]:
    """Return every breaker that is open or was, open ones first."""
    return [Breaker(**row) for row in await db.fetch(LIST)]
