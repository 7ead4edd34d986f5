"""Worker processes, as people see them and tell them to end."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.store.database import Database
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import Order, Stale, Unknown, carrying_out

ORDER_DRAIN = statement("order_drain")
LIST = statement("list_worker_processes")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """One process, as its last heartbeat said. `worker` is host:pid/queue; `is_silent`: none came for 30 seconds.

    `lag_seconds`: how late its event loop was at worst within the last seconds. `held` counts the batches that it worked on then;
    `batches` are those of them that it still holds, each with batch_id, run_id, stage, lease_left_seconds.
    """

    worker: str
    queue: str
    host: str | None
    pid: int | None
    threads: int
    version: str
    started_at: datetime
    seen_at: datetime
    silent_seconds: float
    is_silent: bool
    lag_seconds: float | None
    held: int
    batches: list[dict[str, Any]]
    is_draining: bool
    drain_ordered_at: datetime | None
    drain_ordered_by: str | None


async def drain_worker(db: Database, order: Order, worker: str) -> bool:
    """Tell a process to finish what it holds, give back the rest and end, as SIGTERM would; it hears of it with its next heartbeat.

    `worker`: host:pid/queue, or host:pid. Whatever supervises it decides whether another one is started. Returns false, and records
    nothing, if it was told before.

    Raises:
        Unknown: There is no such process, or it has ended.
        Stale: It has been silent for 30 seconds, so it would not hear.
    """
    async with carrying_out(db) as connection:
        rows = await connection.fetch(ORDER_DRAIN, worker, order.actor.strip())
        if not rows:
            raise Unknown("unknown_worker", f"There is no worker {worker}", "`portcullis workers` lists them; it may have ended.")
        if not (hearing := [row for row in rows if not row["is_silent"]]):
            to_do = "It is gone or cut off: what it holds is given to others when its lease runs out. `portcullis workers` shows it."
            raise Stale("silent", f"Worker {worker} has said nothing for 30 seconds and would not hear", to_do)
        if not any(row["is_new"] for row in hearing):
            return False
        await note(connection, order, "drain", scope="worker", subject=worker)
        return True


async def list_workers(db: Database) -> list[WorkerSeen]:
    """Return all processes that announced themselves within the last hour, by queue and name."""
    rows = await db.fetch(LIST)
    return [WorkerSeen(**{**row, "batches": json.loads(row["batches"])}) for row in rows]
