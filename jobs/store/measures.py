"""What PostgreSQL knows about runs, queues and processes, in numbers, for metrics and readiness. Asked at each scrape."""

from dataclasses import dataclass
from time import perf_counter

import asyncpg

from jobs.store.database import Database, is_weather
from jobs.store.statements import statement

QUEUES = statement("gauge_queues")
RUNS = statement("gauge_runs")
PROCESSES = statement("gauge_processes")
STEERING = statement("gauge_steering")
AUDIT = statement("gauge_audit")
FIND_PROBE = statement("find_probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMeasure:
    """One queue. `ready` batches could be done now; the SQL file says what is meant by each time."""

    queue: str
    ready: int
    waiting: int
    in_flight: int
    paused: int
    expired_leases: int
    hinted: int
    dead: int
    oldest_ready_seconds: float
    stalled_seconds: float
    run_stalled_seconds: float
    unhinted_seconds: float
    workers: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMeasure:
    """Runs of which something is open, by standing; their letters; the conductor that leads; what was put aside."""

    running: int
    paused: int
    scheduled: int
    settling: int
    lingering: int
    oldest_seconds: float
    letters_owed: int
    letters_sending: int
    letters_deferred: int
    is_led: bool
    term: int
    quarantined: int
    suppressed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMeasure:
    """Processes of one kind that have been heard of within 30 seconds."""

    kind: str
    processes: int
    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringMeasure:
    """So many pauses or open breakers (`what`) of one scope; `subject` names a relay or a kind of letter."""

    what: str
    scope: str
    subject: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMeasure:
    """How many violations of one invariant the auditor found when it last looked, and how long ago that was."""

    invariant: str
    found: int
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateMeasure:
    """Whether the gate answers, and how long it took from here; `None`: nothing is required of anybody, or it raised."""

    answers: bool
    seconds: float | None


async def queues(db: Database) -> list[QueueMeasure]:
    """Measure both queues."""
    return [QueueMeasure(**row) for row in await db.fetch(QUEUES)]


async def runs(db: Database) -> RunMeasure:
    """Measure everything that is open."""
    return RunMeasure(**await db.fetchrow(RUNS))


async def processes(db: Database) -> list[ProcessMeasure]:
    """Measure who is alive."""
    return [ProcessMeasure(**row) for row in await db.fetch(PROCESSES)]


async def steering(db: Database) -> list[SteeringMeasure]:
    """Count what is stopped."""
    return [SteeringMeasure(**row) for row in await db.fetch(STEERING)]


async def audit(db: Database) -> list[AuditMeasure]:
    """Return what the auditor found; empty: none has ever looked."""
    return [AuditMeasure(**row) for row in await db.fetch(AUDIT)]


async def gate(db: Database) -> GateMeasure:
    """Ask the gate as the main app does, once."""
    probe = await db.fetchrow(FIND_PROBE)
    if probe is None:
        return GateMeasure(answers=True, seconds=None)
    began = perf_counter()
    try:
        await db.fetchval("SELECT portcullis.gate($1, $2, 'password')", probe["user_id"], probe["organization_id"])
    except asyncpg.PostgresError as error:
        if is_weather(error):
            raise
        return GateMeasure(answers=False, seconds=None)
    return GateMeasure(answers=True, seconds=perf_counter() - began)
