"""How the record stands: whether each invariant held when the auditor last looked, and the last signed checkpoint."""

from dataclasses import dataclass
from datetime import datetime

from jobs.store.database import Database
from jobs.store.statements import statement

RESULTS = statement("list_audit_results")
CHECKPOINT = statement("find_last_checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One invariant: how many times it is broken, the first time in words, and when that was looked at."""

    invariant: str
    found: int
    words: str | None
    looked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint: a signed statement of how far the record had come."""

    number: int
    made_at: datetime
    key_id: str


async def list_results(db: Database) -> list[Found]:
    """Return every invariant that was ever looked at, broken ones first; empty: no auditor was ever started."""
    return [Found(**row) for row in await db.fetch(RESULTS)]


async def find_checkpoint(db: Database) -> Signed | None:
    """Return the last one; `None`: none was signed yet."""
    row = await db.fetchrow(CHECKPOINT)
    return None if row is None else Signed(number=row["number"], made_at=row["made_at"], key_id=row["key_id"])
