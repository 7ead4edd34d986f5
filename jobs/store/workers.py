"""What worker processes say of themselves, and what they found that they could not use."""

from jobs.store.database import Database
from jobs.store.statements import statement

ANNOUNCE = statement("announce_worker")
WITHDRAW = statement("withdraw_worker")
QUARANTINE = statement("quarantine_message")


async def announce(db: Database, worker: str, queue: str, threads: int, version: str) -> None:
    """Say that a worker process is alive; repeated every few seconds."""
    await db.execute(ANNOUNCE, worker, queue, threads, version)


async def withdraw(db: Database, worker: str) -> None:
    """Say that a worker process has ended."""
    await db.execute(WITHDRAW, worker)


async def quarantine(db: Database, digest: str, queue: str, reason: str, payload: bytes) -> bool:
    """Keep a rejected message for a human; returns whether it was new."""
    return await db.fetchrow(QUARANTINE, digest, queue, str(reason), payload) is not None
