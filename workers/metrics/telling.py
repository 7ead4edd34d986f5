"""Tells PostgreSQL every few seconds what this process has counted, that it is alive, and how late its event loop is.

A telling whose answer was lost is told again under the same id and counts once. One that ends by `kill -9` takes at most the last five
seconds along; one that is asked to end tells all of it first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from uuid import UUID, uuid4

import structlog
from prometheus_client import CollectorRegistry

from jobs import instruments
from jobs.store import counts
from jobs.store.database import Pool, is_weather, weather_ignored
from workers.metrics.deltas import Delta, Deltas
from workers.metrics.lag import LoopLag

log = structlog.get_logger(__name__)

TELL_SECONDS = 5.0
LAST_SECONDS = 3.0
"""How long the last telling of a process that ends may take."""


@dataclass(slots=True)
class _Telling:
    """One that is not known to have arrived."""

    deltas: list[Delta]
    lag_seconds: float
    id: UUID = field(default_factory=uuid4)


class Teller:
    """One process's. `process` is its name everywhere, `kind` what it is: conductor, enforcer, mailer."""

    def __init__(self, pool: Pool, *, process: str, kind: str, registry: CollectorRegistry = instruments.REGISTRY) -> None:
        self._pool, self._process, self._kind = pool, process, kind
        self._deltas = Deltas(registry)
        self._lag = LoopLag(kind)
        self._untold: _Telling | None = None
        self._version = version("portcullis")

    async def tell(self) -> None:
        """Tell what is new. Raises what the database raises; the next call begins with the same."""
        if self._untold is None:
            self._untold = _Telling(self._deltas.take(), self._lag.take())
        telling = self._untold
        await counts.add(
            self._pool,
            process=self._process,
            kind=self._kind,
            version=self._version,
            telling=telling.id,
            lag_seconds=telling.lag_seconds,
            rises=[(delta.name, delta.labels, delta.amount) for delta in telling.deltas],
        )
        self._untold = None

    async def run(self) -> None:
        """Tell again and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lag.watch())
            while True:
                try:
                    await self.tell()
                except Exception as error:
                    if is_weather(error):
                        log.warning("counts_untold", error=type(error).__name__)
                    else:
                        log.exception("counts_untellable")  # numbers are no reason for a worker to end
                await asyncio.sleep(TELL_SECONDS)

    async def finish(self) -> None:
        """Tell the rest, and that this process has ended."""
        with weather_ignored():
            async with asyncio.timeout(LAST_SECONDS):
                await self.tell()  # what a telling left open
                await self.tell()
                await counts.withdraw(self._pool, self._process)


@asynccontextmanager
async def telling(pool: Pool, *, process: str, kind: str) -> AsyncIterator[None]:
    """Tell in the background for as long as the block lasts, and all that is left at its end."""
    teller = Teller(pool, process=process, kind=kind)
    running = asyncio.create_task(teller.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await teller.finish()
