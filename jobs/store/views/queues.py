"""Both queues in motion: what comes and goes, what has waited longest, how the conductor keeps up, what letters wait."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.store.database import Database
from jobs.store.statements import statement

MEASURE = statement("measure_queues")
WAITING = statement("list_waiting_batches")
LEADER = statement("find_leader")
OUTBOX = statement("look_at_outbox")
LETTERS = statement("count_letters_waiting")
LAST_LETTER = statement("find_last_letter")
QUARANTINED = statement("list_quarantined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What came into a queue and left it within a time, in batches; `letters` and `members` are what the ended ones counted."""

    queue: str
    made: int
    ended: int
    letters: int
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A batch that is due and that nobody holds. `is_behind_sessions`: letters that wait until every session of the run has ended."""

    batch_id: int
    run_id: int
    organization_name: str | None
    stage: str
    attempts: int
    next_at: datetime
    hinted_at: datetime | None
    hints: int
    error: str | None
    is_paused: bool
    is_behind_sessions: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The conductor that leads, or led last: then its lease has run out."""

    holder: str
    term: int
    lease_left_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """How the conductor keeps up with one queue, in batches. `lag_seconds`: how long a run's next batch has been due without a hint."""

    queue: str
    open: int
    hinted: int
    repeated: int
    held: int
    expired: int
    lag_seconds: float | None
    unclaimed_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersWaiting:
    """Letters of one organization that have not left; `deferred` ones wait for the recipient's side."""

    organization_id: str
    organization_name: str | None
    letters: int
    deferred: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A message that was put aside."""

    digest: str
    queue: str
    reason: str
    bytes: int
    quarantined_at: datetime


async def measure(db: Database, *, within: timedelta) -> dict[str, Motion]:
    """Return both queues by name."""
    return {row["queue"]: Motion(**row) for row in await db.fetch(MEASURE, within)}


async def list_waiting(db: Database, queue: str, *, limit: int) -> list[Waiting]:
    """Return what has waited longest, three batches a run at most."""
    return [Waiting(**row) for row in await db.fetch(WAITING, queue, limit)]


async def find_leader(db: Database) -> Leader | None:
    """Return who leads or led last; `None`: no conductor was ever started."""
    row = await db.fetchrow(LEADER)
    return None if row is None else Leader(**row)


async def look_at_outbox(db: Database) -> dict[str, Outbox]:
    """Return both queues by name."""
    return {row["queue"]: Outbox(**row) for row in await db.fetch(OUTBOX)}


async def count_letters(db: Database, *, limit: int) -> list[LettersWaiting]:
    """Return organizations whose letters wait, the most first."""
    return [LettersWaiting(**row) for row in await db.fetch(LETTERS, limit)]


async def find_last_letter(db: Database) -> datetime | None:
    """Return when the relay last took a letter, as far as that is recent; `None`: it is not."""
    found: datetime | None = await db.fetchval(LAST_LETTER)
    return found


async def list_quarantined(db: Database, *, limit: int) -> list[Quarantined]:
    """Return messages that were put aside, latest first."""
    return [Quarantined(**row) for row in await db.fetch(QUARANTINED, limit)]
