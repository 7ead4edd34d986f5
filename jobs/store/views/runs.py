"""Runs as pages show them: one page of many, those with something to do, one with its stages and what failed."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.store.database import Database
from jobs.store.ids import OrganizationId
from jobs.store.statements import statement

PAGE = statement("list_run_page")
OPEN = statement("list_open_runs")
COUNT_OPEN = statement("count_open_runs")
FACTS = statement("find_run_facts")
STAGES = statement("list_run_stages")
OLDEST = statement("find_oldest_unfinished")
MEASURE = statement("measure_run")
FAILURES = statement("group_failures")
UNCOUNTED = statement("count_uncounted")

LOOKED_INTO = 10
"""Batches of a run whose letters are looked at one by one, some 10,000 rows at most: those being sent just now, and those from before
batches said themselves what failed."""
GROUPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run in a list. `status` is the `run_status` object."""

    run_id: int
    organization_name: str | None
    status: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What `run_status` does not say. `stands`: the requirement that this run came of is still the one."""

    organization_id: str
    organization_name: str | None
    decided_by: str | None
    has_open_batches: bool
    exempt_kinds: list[str]
    stands: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """One stage of a run, in batches, moments and counts. `letters_left`: owed, being sent, or put off by the recipient's side."""

    stage: str
    batches: int
    open: int
    done: int
    dead: int
    cancelled: int
    held: int
    made_at: datetime
    first_done_at: datetime | None
    last_done_at: datetime | None
    last_letter_at: datetime | None
    members: int
    sessions_ended: int
    letters_left: int
    accepted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A batch that is not finished. `error` is what went wrong with it last."""

    batch_id: int
    stage: str
    attempts: int
    next_at: datetime
    made_at: datetime
    holder: str | None
    error: str | None
    hints: int
    is_held: bool
    lease_left_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Letters that did not arrive and are alike in why and where. `example` is the id of one member.

    `reason`: words without what differs from letter to letter, which is `#`, and `@` for addresses. Reason and domain are `None` for what
    is too rare, of twenty reasons and domains in a batch, to be told apart.
    """

    state: str
    reason: str | None
    domain: str | None
    letters: int
    last_at: datetime
    example: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run got done of late; `letters_in_all` took `letters_seconds`, since its last session had ended."""

    members: int
    letters: int
    letters_in_all: int
    letters_seconds: float


async def list_page(
    db: Database, *, before: int | None, state: str | None, organization: OrganizationId | None, limit: int
) -> list[RunLine]:
    """Return runs, newest first, beginning below the number `before`."""
    return [_line(row) for row in await db.fetch(PAGE, before, state, organization, limit)]


async def list_open(db: Database, *, limit: int) -> list[RunLine]:
    """Return runs with something left to do, the oldest first."""
    return [_line(row) for row in await db.fetch(OPEN, limit)]


async def count_open(db: Database) -> int:
    """Return how many runs have something left to do."""
    return int(await db.fetchval(COUNT_OPEN))


async def find_facts(db: Database, run_id: int) -> RunFacts | None:
    """Return what is known of a run beside its status; `None`: there is none."""
    row = await db.fetchrow(FACTS, run_id)
    return None if row is None else RunFacts(**row)


async def list_stages(db: Database, run_id: int) -> dict[str, StageLine]:
    """Return the stages that a run has, by name."""
    return {row["stage"]: StageLine(**row) for row in await db.fetch(STAGES, run_id)}


async def find_oldest(db: Database, run_id: int) -> Unfinished | None:
    """Return what a run has had open for longest."""
    row = await db.fetchrow(OLDEST, run_id)
    return None if row is None else Unfinished(**row)


async def measure(db: Database, run_id: int, *, within: timedelta) -> Measured:
    """Return what was finished within that time."""
    return Measured(**await db.fetchrow(MEASURE, run_id, within))


async def group_failures(db: Database, run_id: int) -> list[Failures]:
    """Return what failed in a run, the `GROUPS` largest groups, the largest first."""
    return [Failures(**row) for row in await db.fetch(FAILURES, run_id, LOOKED_INTO, GROUPS)]


async def count_left_out(db: Database, run_id: int) -> int:
    """Return how many batches have failures that `group_failures` leaves out."""
    return max(0, int(await db.fetchval(UNCOUNTED, run_id)) - LOOKED_INTO)


def _line(row: Any) -> RunLine:
    return RunLine(run_id=row["run_id"], organization_name=row["organization_name"], status=json.loads(row["status"]))
