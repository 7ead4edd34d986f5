"""Says every few seconds in PostgreSQL that this process is alive and what it holds, and ends the process when somebody ordered that.

To end is what SIGTERM asks for: what is held is finished, what has not begun is given back, and the process exits with 0.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

import structlog

from jobs.resources import Resources
from jobs.store import workers
from jobs.store.database import Pool, is_weather, weather_ignored
from jobs.store.workers import Station

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5.0


def end_this_process() -> None:
    """Send SIGTERM to where a supervisor would: dramatiq's main process, which passes it on to its workers and exits with 0.

    Sent to a worker process alone, dramatiq would take its end for a crash and say so in its exit status.
    """
    main = multiprocessing.parent_process()
    os.kill(os.getpid() if main is None or main.pid is None else main.pid, signal.SIGTERM)


@dataclass(slots=True, kw_only=True)
class Heartbeat:
    """One process's. `name` is host:pid; it has a row for each of its queues."""

    resources: Resources
    queues: Iterable[str]
    threads: int
    end: Callable[[], None] = end_this_process
    seconds: float = HEARTBEAT_SECONDS
    _station: Station = field(default_factory=lambda: Station(host=socket.gethostname(), pid=os.getpid(), started_at=datetime.now(UTC)))
    _version: str = field(default_factory=lambda: version("portcullis"))
    _is_told: bool = False

    async def beat(self) -> None:
        """Say it once, and obey."""
        must_end = [await self._announce(queue) for queue in self.queues]
        if any(must_end) and not self._is_told:
            self._is_told = True
            log.info("drain_ordered", worker=self.resources.holder)
            self.end()

    async def run(self) -> None:
        """Say it again and again until cancelled, and at once when the process begins to end."""
        while True:
            try:
                await self.beat()
            except Exception as error:
                if is_weather(error):
                    log.warning("heartbeat_missed", error=type(error).__name__)
                else:
                    log.exception("heartbeat_failed")  # a worker that is not listed still works
            await self._wait()

    async def withdraw(self) -> None:
        """Say that the process has ended."""
        with weather_ignored():
            for queue in self.queues:
                await workers.withdraw(self._pool, self._row(queue))

    @property
    def _pool(self) -> Pool:
        return self.resources.pool

    def _row(self, queue: str) -> str:
        return f"{self.resources.holder}/{queue}"

    async def _announce(self, queue: str) -> bool:
        return await workers.announce(
            self._pool,
            self._row(queue),
            queue,
            self.threads,
            self._version,
            station=self._station,
            held=sorted(self.resources.held),
            is_draining=self.resources.draining.is_set(),
        )

    async def _wait(self) -> None:
        if self.resources.draining.is_set():
            await asyncio.sleep(self.seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self.resources.draining.wait(), self.seconds)


@asynccontextmanager
async def beating(resources: Resources, queues: Iterable[str], threads: int) -> AsyncIterator[None]:
    """Let the heart beat meanwhile; afterwards the process is not listed any more."""
    heartbeat = Heartbeat(resources=resources, queues=sorted(queues), threads=threads)
    task = asyncio.create_task(heartbeat.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await heartbeat.withdraw()
