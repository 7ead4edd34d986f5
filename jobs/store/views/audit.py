"""What the auditor found when it last looked: whether each invariant holds."""

from dataclasses import dataclass
from datetime import datetime

from jobs.store.database import Database
from jobs.store.statements import statement

RESULTS = statement("list_audit_results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One invariant: how many times it is broken, the first time in words, and when that was looked at."""

    invariant: str
    found: int
    words: str | None
    looked_at: datetime


async def list_results(db: Database) -> list[Found]:
    """Return every invariant that was ever looked at, broken ones first; empty: no auditor was ever started."""
    return [Found(**row) for row in await db.fetch(RESULTS)]
