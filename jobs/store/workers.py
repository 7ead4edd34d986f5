"""What worker processes say of themselves and are told in return, and what they found that they could not use."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jobs.store.database import Database
from jobs.store.statements import statement

ANNOUNCE = statement("announce_worker")
WITHDRAW = statement("withdraw_worker")
QUARANTINE = statement("quarantine_message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Where a process runs. A process of the same name that was started at another time is another one."""

    host: str
    pid: int
    started_at: datetime


async def announce(
    db: Database,
    worker: str,
    queue: str,
    threads: int,
    version: str,
    *,
    station: Station | None = None,
    held: Iterable[int] = (),
    is_draining: bool = False,
) -> bool:
    """Say that a worker process is alive; repeated every few seconds. `held`: batches that it works on.

    Returns whether somebody told it to end.
    """
    started_at, host, pid = (station.started_at, station.host, station.pid) if station else (None, None, None)
    must_end: bool = await db.fetchval(ANNOUNCE, worker, queue, threads, version, started_at, host, pid, list(held), is_draining)
    return must_end


async def withdraw(db: Database, worker: str) -> None:
    """Say that a worker process has ended."""
    await db.execute(WITHDRAW, worker)


async def quarantine(db: Database, digest: str, queue: str, reason: str, payload: bytes) -> bool:
    """Keep a rejected message for a human; returns whether it was new."""
    return await db.fetchrow(QUARANTINE, digest, queue, str(reason), payload) is not None
