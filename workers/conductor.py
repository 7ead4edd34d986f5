"""The conductor: looks at what is due and publishes hints for it. Any number run, one leads.

It looks every second, and at once when PostgreSQL notifies it of a switch, a finished batch or a plan. It owns nothing: whatever it
published or forgot can be published again, because claims decide. Without it no new work begins, and nothing is lost.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import asyncpg
import structlog

from jobs import instruments
from jobs.audit.notary import Notary
from jobs.failpoints import reach
from jobs.retention import forget_for_ever
from jobs.routing import ACTORS, hint
from jobs.store import hints
from jobs.store.database import WEATHER, Connection, Pool, close_pool, is_weather, open_pool, weather_ignored
from jobs.store.hints import Due
from workers.broker.watchdog import LoopWatchdog
from workers.metrics.telling import telling
from workers.settings import Settings
from workers.vital import vital

if TYPE_CHECKING:
    import dramatiq

log = structlog.get_logger(__name__)

SCAN_SECONDS = 1.0
SHORTEST_SECONDS = 0.02
BUSY_SECONDS = 0.1
GATHER_SECONDS = 0.004
"""How long rings are gathered after a look: the first one is answered at once, many batches ending together cost one look."""
LEASE = timedelta(seconds=5)
WINDOW = 4
"""Batches in flight per organization and queue while no worker has announced itself."""
PATIENCE = timedelta(seconds=3)
"""How long an unclaimed hint is left at first before it is published again."""
HINTS_PER_LOOK = 500
FORGET_SECONDS = 600.0


class Publisher(Protocol):
    """Where hints go."""

    async def publish(self, messages: Sequence["dramatiq.Message[object]"], *, first: bool = False) -> None:
        """Publish all of them, or raise. `first`: before whatever waits that was not published so."""


class Conductor:
    """One conductor. `run` until cancelled; `stop` lets it finish its look and resign."""

    def __init__(self, pool: Pool, publisher: Publisher, *, holder: str | None = None) -> None:
        self._pool = pool
        self._publisher = publisher
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        self._bell = asyncio.Event()
        self._stopping = False
        self._term: int | None = None
        self._until_next = SCAN_SECONDS
        self._leads_until = self._chores_at = self._forget_at = 0.0

    def ring(self) -> None:
        """Look at once."""
        self._bell.set()

    def stop(self) -> None:
        """End after the look in progress."""
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Look, again and again. The weather of PostgreSQL or Redis is waited out."""
        while not self._stopping:
            self._bell.clear()
            try:
                found = await self.look()
                await asyncio.sleep(GATHER_SECONDS)
            except WEATHER as weather:
                if not is_weather(weather):
                    raise
                instruments.LOOK_FAILURES.inc()
                log.warning("look_failed", error=type(weather).__name__)
                found = 0
                await asyncio.sleep(0.5)
            if found < HINTS_PER_LOOK:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), self._until_next)
        with weather_ignored():
            await hints.resign(self._pool, self._holder)

    async def look(self) -> int:
        """Publish what is due, if this conductor leads; returns how many hints."""
        if not await self._leads():
            return 0
        with instruments.LOOK_SECONDS.time():
            return await self._look()

    async def _look(self) -> int:
        await self._do_chores()
        due = await hints.choose(self._pool, window=WINDOW, patience=PATIENCE, limit=HINTS_PER_LOOK)
        if due:
            await self._publish(due)
            self._until_next = BUSY_SECONDS
        else:
            soon = await hints.next_due(self._pool)
            self._until_next = SCAN_SECONDS if soon is None else min(SCAN_SECONDS, max(soon, SHORTEST_SECONDS))
        return len(due)

    async def _leads(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._term is not None and now < self._leads_until:
            return True
        term = await hints.lead(self._pool, self._holder, LEASE)
        if term != self._term:
            log.info("lead_taken" if term is not None else "lead_lost", conductor=self._holder, term=term)
        self._term = term
        self._leads_until = now + LEASE.total_seconds() / 3
        return term is not None

    async def _publish(self, due: list[Due]) -> None:
        reach("before_publish")
        try:
            for first in (True, False):
                if messages := [_message(one) for one in due if one.goes_first is first]:
                    await self._publisher.publish(messages, first=first)
            reach("after_publish")
            _count(due)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the hints are due again at the next look
            instruments.UNPUBLISHED_HINTS.inc(len(due))
            log.warning("hints_unpublished", hints=len(due), error=type(error).__name__)
            await hints.unhint(self._pool, due)
            await asyncio.sleep(0.5)

    async def _do_chores(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._chores_at:
            self._chores_at = now + SCAN_SECONDS
            for buried in await hints.bury(self._pool):
                instruments.BURIED.labels(buried.stage).inc()
                log.error("batch_buried", run=buried.run_id, batch=buried.batch_id, stage=buried.stage, error=buried.error)
            for run in await hints.close_runs(self._pool):
                instruments.RUNS_CLOSED.inc()
                log.info("run_closed", run=run)
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            await hints.forget(self._pool)


def _message(one: Due) -> "dramatiq.Message[object]":
    return hint(one.stage, run=one.run_id, batch=one.batch_id, token=one.token)


def _count(due: list[Due]) -> None:
    for one in due:
        queue, _ = ACTORS[one.stage]
        instruments.HINTS.labels(queue).inc()
        instruments.REPEATED_HINTS.labels(queue).inc(one.hints > 1)
        instruments.LEASE_EXPIRIES.labels(queue).inc(one.was_held)


async def listen(url: str, conductor: Conductor) -> None:
    """Ring the conductor at each notification, over a connection of its own; reconnects, and the scan covers the gaps."""
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=10)
            try:
                await _ring_until_lost(connection, conductor)
            finally:
                await connection.close(timeout=2)
        except (*WEATHER, asyncpg.PostgresError) as weather:
            log.warning("listening_failed", error=type(weather).__name__)
        await asyncio.sleep(1)


async def _ring_until_lost(connection: Connection, conductor: Conductor) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda *_: lost.set())
    await connection.add_listener("portcullis", lambda *_: conductor.ring())
    conductor.ring()
    await lost.wait()


async def conduct(settings: Settings, publisher: Publisher) -> None:
    """Run a conductor in the foreground until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database_url.get_secret_value(), size=3)
        stack.push_async_callback(close_pool, pool)
        conductor = Conductor(pool, publisher)
        await stack.enter_async_context(telling(pool, process=f"{socket.gethostname()}:{os.getpid()}", kind="conductor"))
        loop = asyncio.get_running_loop()
        watchdog = LoopWatchdog(loop)
        watchdog.start()
        stack.callback(watchdog.stop)
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_, conductor.stop)
        listening = asyncio.create_task(listen(settings.direct_database_url, conductor))
        vital(listening, "listener")
        stack.callback(listening.cancel)
        notary = asyncio.create_task(Notary(pool, settings.key_ring).run())
        vital(notary, "notary")
        stack.callback(notary.cancel)
        forgetting = asyncio.create_task(forget_for_ever(pool, settings.retention_days))
        vital(forgetting, "retention")
        stack.callback(forgetting.cancel)
        await conductor.run()
