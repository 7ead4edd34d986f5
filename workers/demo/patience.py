"""Wait for the demo's processes and its run, but not for ever: whatever ends or stalls is said."""

import asyncio
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any

import asyncpg

from workers.demo import tied
from workers.demo.telling import Watcher

LOOK_SECONDS = 0.1

READY_SECONDS = 60

STALL_SECONDS = 90
"""A run that shows no change for so long is stuck: leases run out, and are taken over, well before."""

READY = """
    SELECT (SELECT count(DISTINCT queue) FROM portcullis.worker) = 2
       AND EXISTS (SELECT FROM portcullis.leader WHERE leased_until > now())
"""


class StuckError(Exception):
    """The run goes no further. `status` is the last that was seen of it, empty before it began."""

    def __init__(self, why: str, status: Mapping[str, Any] | None = None) -> None:
        self.status = dict(status or {})
        super().__init__(why)


async def until_ready(db: asyncpg.Connection, processes: tied.Process) -> None:
    """Return when a conductor leads and workers serve both queues.

    Raises:
        StuckError: A process ended, or it takes too long.
    """
    deadline = monotonic() + READY_SECONDS
    while not await db.fetchval(READY):
        _look_after(processes)
        if monotonic() > deadline:
            raise StuckError(f"the processes were not ready after {READY_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)


async def until_done(db: asyncpg.Connection, run_id: int, processes: tied.Process, watcher: Watcher) -> dict[str, Any]:
    """Show the run to `watcher` until it is over, the admin's report included, and return its last status.

    Raises:
        StuckError: A process ended, or nothing has changed for a long time.
    """
    last: dict[str, Any] = {}
    changed_at = monotonic()
    while True:
        status = json.loads(await db.fetchval("SELECT portcullis.run_status($1)", run_id))
        watcher.show(status)
        if status["state"] != "running" and not status["batches"]["open"]:
            return dict(status)
        _look_after(processes, status)
        if status != last:
            last, changed_at = status, monotonic()
        elif monotonic() - changed_at > STALL_SECONDS:
            raise StuckError(f"nothing has changed for {STALL_SECONDS} s", status)
        await asyncio.sleep(LOOK_SECONDS)


def _look_after(processes: tied.Process, status: Mapping[str, Any] | None = None) -> None:
    if processes.poll() is not None:
        raise StuckError("a process of the Procfile has ended, and honcho ended the others", status)
