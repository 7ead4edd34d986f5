"""What the conductor asks: who leads, which batches are due, what failed too often, which runs are over."""

from dataclasses import dataclass
from datetime import timedelta

from jobs.store.batches import MAX_ATTEMPTS, Stage
from jobs.store.database import Database
from jobs.store.statements import statement

LEAD = statement("lead")
RESIGN = statement("resign")
HINT = statement("hint_batches")
UNHINT = statement("unhint_batches")
NEXT_DUE = statement("next_due")
BURY = statement("bury_batches")
CLOSE_RUNS = statement("close_runs")
FORGET = statement("forget_requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A batch to publish a hint for. `place`: the how-manieth of its organization in this round.

    `goes_first`: its organization has little in flight, so it needn't wait behind the batches of one that has much. `hints`: how many
    were published for it since somebody had it, this one too. `was_held`: a worker had it and fell silent.
    """

    run_id: int
    batch_id: int
    token: int
    stage: Stage
    place: int
    goes_first: bool
    hints: int = 1
    was_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A batch that was put aside for a human."""

    run_id: int
    batch_id: int
    stage: str
    error: str


async def lead(db: Database, holder: str, lease: timedelta) -> int | None:
    """Take or keep the lead; returns the term, or `None` while another conductor leads."""
    term: int | None = await db.fetchval(LEAD, holder, lease)
    return term


async def resign(db: Database, holder: str) -> None:
    """Give up the lead, if it is ours."""
    await db.execute(RESIGN, holder)


async def choose(db: Database, *, window: int, patience: timedelta, limit: int) -> list[Due]:
    """Note as hinted, and return, what is due: first of all organizations before second of any."""
    rows = await db.fetch(HINT, window, patience, limit)
    due = [Due(**{**row, "stage": Stage(row["stage"])}) for row in rows]
    return sorted(due, key=lambda one: (one.place, one.batch_id))


async def next_due(db: Database) -> float | None:
    """Return the seconds until the next batch falls due; `None`: none waits for its time."""
    seconds: float | None = await db.fetchval(NEXT_DUE)
    return seconds


async def unhint(db: Database, due: list[Due]) -> None:
    """Forget hints that could not be published."""
    await db.execute(UNHINT, [one.batch_id for one in due])


async def bury(db: Database) -> list[Buried]:
    """Put aside what failed too often."""
    return [Buried(**row) for row in await db.fetch(BURY, MAX_ATTEMPTS)]


async def close_runs(db: Database) -> list[int]:
    """Stop looking at runs that are over; returns which."""
    return [row["run_id"] for row in await db.fetch(CLOSE_RUNS)]


async def forget(db: Database) -> None:
    """Forget what is over long since: requests, silent workers and processes, addresses that are suppressed no more."""
    await db.execute(FORGET)
