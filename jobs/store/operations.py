"""What the command line asks and orders: looks at runs and queues, and dead batches. What people order is in `steering`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.store.database import Database
from jobs.store.ids import MemberId, OrganizationId
from jobs.store.statements import statement

LOOK = statement("look_at_run")
LIST_RUNS = statement("list_runs")
FIND_ORGANIZATION = statement("find_organization")
FIND_POLICY = statement("find_policy")
IS_NEW = statement("is_new_run")
COUNT_QUEUES = statement("count_queues")
LIST_DEAD = statement("list_dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One run at one moment. `status` is the `run_status` object; `to_enforce` grows while the run is planned."""

    status: dict[str, Any]
    enforced: int
    to_enforce: int
    has_conductor: bool
    has_enforcer: bool
    has_mailer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an organization requires, and the run that came of it (`None`: the requirement was lifted)."""

    required: bool
    epoch: int
    exempt_kinds: list[str]
    changed_by: MemberId
    reason: str | None
    changed_at: datetime
    run_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCount:
    """One queue in PostgreSQL. `due` batches wait for a worker, `later` ones for their time, `in_flight` ones are held under a lease."""

    queue: str
    due: int
    later: int
    in_flight: int
    dead: int
    oldest_due_seconds: float | None
    workers: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadBatch:
    """A batch that waits for a human, and why."""

    batch_id: int
    run_id: int
    organization_id: OrganizationId
    run_state: str
    stage: str
    queue: str
    attempts: int
    died_at: datetime | None
    error: str | None
    fingerprint: str


async def look(db: Database, run_id: int) -> Look:
    """Look at a run. Raises asyncpg's error with SQLSTATE PC005 for an unknown one."""
    return Look(**await db.fetchrow(LOOK, run_id))


async def list_runs(db: Database, organization: OrganizationId | None, *, limit: int) -> list[dict[str, Any]]:
    """Return the latest runs, newest first, as `run_status` objects."""
    return [row["status"] for row in await db.fetch(LIST_RUNS, organization, limit)]


async def is_known(db: Database, organization: OrganizationId) -> bool:
    """Return whether the main app has such an organization."""
    return bool(await db.fetchval(FIND_ORGANIZATION, organization))


async def find_policy(db: Database, organization: OrganizationId) -> Policy | None:
    """Return what an organization requires, or `None`: it never required anything."""
    row = await db.fetchrow(FIND_POLICY, organization)
    return None if row is None else Policy(**row)


async def is_new(db: Database, run_id: int) -> bool:
    """Return whether the run was opened in the transaction that is open now."""
    return bool(await db.fetchval(IS_NEW, run_id))


async def count_queues(db: Database) -> list[QueueCount]:
    """Return both queues."""
    return [QueueCount(**row) for row in await db.fetch(COUNT_QUEUES)]


async def list_dead(db: Database, run_id: int | None, *, limit: int) -> list[DeadBatch]:
    """Return dead batches, latest first."""
    return [DeadBatch(**row) for row in await db.fetch(LIST_DEAD, run_id, limit)]
