"""The second factor in numbers, for metrics and the console: whole tables are counted, so ask every minute, not per request."""

from dataclasses import dataclass

from jobs.store.database import Database
from jobs.store.statements import statement

COUNT = statement("count_factors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Factors of one kind, and members (of whatever kind) who wait after too many failures."""

    kind: str
    active: int
    disabled: int
    locked: int


async def numbers(db: Database) -> list[Numbers]:
    """Return a row for each kind that anybody has."""
    return [Numbers(**row) for row in await db.fetch(COUNT)]
