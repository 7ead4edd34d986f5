"""What one worker process opens at boot, on its event loop, and closes after its last actor: pool, mailer, heartbeat.

The process announces itself in PostgreSQL, so that the conductor can size its windows and people can see who is alive.
"""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import redis.asyncio
import structlog
from dramatiq import Broker, Middleware, Worker

from jobs import instruments, resources
from jobs.breakers import Breakers
from jobs.keys import Purpose
from jobs.letters import Branding, Composer, catalogues
from jobs.recorder import LedgerRecorder
from jobs.resources import Mail, Resources
from jobs.routing import NOTIFY_QUEUE
from jobs.second_factor.posting import post_for_ever
from jobs.store import deliveries, workers
from jobs.store.breakers import Rules
from jobs.store.database import Pool, close_pool, open_pool
from workers.broker import PortcullisBroker, Quarantined
from workers.heartbeat import beating
from workers.mailer import Fleet, RedisLimiter, Signboard, follow_orders
from workers.metrics.limiting import CountedLimiter
from workers.metrics.telling import telling
from workers.settings import Settings
from workers.vital import vital

log = structlog.get_logger(__name__)

QUARANTINE_SECONDS = 5.0
DRAIN_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class Station:
    """Which worker process this is; known when dramatiq boots it."""

    queues: frozenset[str] = frozenset()
    threads: int = 1
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    @property
    def kind(self) -> str:
        """What the Procfile calls such a process."""
        return "mailer" if NOTIFY_QUEUE in self.queues else "enforcer"


class StationMiddleware(Middleware):
    """Learns from dramatiq which queues and how many threads this process serves. Runs before the resources are opened."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Learn it."""
        self._station.queues = frozenset(worker.consumer_whitelist or broker.get_declared_queues())
        self._station.threads = worker.worker_threads
        self._station.name = f"{socket.gethostname()}:{os.getpid()}"


class Runtime:
    """The composition of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.station = Station()
        self._pool: Pool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def open(self, broker: PortcullisBroker) -> AsyncIterator[Resources]:
        """Open everything, provide it to the actors, and close it in the reverse order."""
        station = self.station
        async with AsyncExitStack() as stack:
            pool = await open_pool(self.settings.database_url.get_secret_value(), size=station.threads + 3)
            stack.push_async_callback(close_pool, pool)
            self._pool, self._loop = pool, asyncio.get_running_loop()
            await stack.enter_async_context(telling(pool, process=station.name, kind=station.kind))
            await stack.enter_async_context(_traced(station))
            mail = await stack.enter_async_context(self._open_mail(pool, broker)) if NOTIFY_QUEUE in station.queues else None
            lease = timedelta(seconds=self.settings.lease_seconds)
            opened = Resources(
                pool=pool,
                holder=station.name,
                mail=mail,
                audit_key=self.settings.key_ring.current(Purpose.AUDIT),
                lease=lease,
                draining=broker.drain,
            )
            resources.provide(opened)
            stack.callback(resources.withdraw)
            await stack.enter_async_context(beating(opened, station.queues, station.threads))
            if mail is not None:
                stack.push_async_callback(_finish, asyncio.create_task(post_for_ever(opened)))
            gc.freeze()  # what is there now stays for good; looking through it again and again cost 3 % of a mailer
            log.info("worker_started", worker=station.name, queues=sorted(station.queues), threads=station.threads)
            yield opened
        log.info("worker_stopped", worker=station.name)

    @asynccontextmanager
    async def _open_mail(self, pool: Pool, broker: PortcullisBroker) -> AsyncIterator[Mail]:
        client = redis.asyncio.Redis.from_url(self.settings.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=3)
        mailer = Fleet.from_settings(self.settings)
        breakers = Breakers(pool, holder=self.station.name, rules=_rules(self.settings))
        recorder = LedgerRecorder(lambda settled: deliveries.record(pool, settled), breakers=breakers)
        limiter = RedisLimiter.from_settings(client, self.settings)
        signboard = Signboard(pool, self.station.name, mailer)
        recording = asyncio.create_task(recorder.run())
        following = asyncio.gather(breakers.follow(), follow_orders(pool, limiter, breakers=breakers, signboard=signboard))
        vital(recording, "recorder")
        vital(following, "orders and breakers")
        try:
            yield Mail(
                mailer=mailer,
                limiter=CountedLimiter(limiter),
                recorder=recorder,
                composer=compose_for(self.settings),
                breakers=breakers,
                others_wait=partial(broker.has_urgent, NOTIFY_QUEUE),
            )
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(recorder.drain(), DRAIN_SECONDS)
            await _end(following)
            await _end(recording)
            await mailer.aclose()
            await client.aclose()

    def quarantine(self, message: Quarantined) -> None:
        """Keep a rejected message in PostgreSQL; called on a consumer's thread.

        Raises:
            RuntimeError, TimeoutError, OSError, asyncpg.PostgresError: It could not be kept; the broker hands it over again.
        """
        if self._pool is None or self._loop is None:
            raise RuntimeError("the worker has not opened its pool yet")
        stored = asyncio.run_coroutine_threadsafe(
            workers.quarantine(self._pool, message.digest, message.queue, message.reason, message.payload), self._loop
        )
        is_new = stored.result(QUARANTINE_SECONDS)
        instruments.QUARANTINED.labels(message.reason).inc()
        log.warning("message_quarantined", queue=message.queue, reason=str(message.reason), digest=message.digest, is_new=is_new)


def _rules(settings: Settings) -> Rules:
    first = settings.breaker_seconds
    return Rules(first_pause=first, longest_pause=60 * first, patience=settings.lease_seconds)


def _traced(station: Station) -> AbstractAsyncContextManager[None]:
    """Trace what this process does, if the usual variables of OpenTelemetry ask for it; otherwise nothing of it is even imported."""
    wanted = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not wanted or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return nullcontext()
    try:
        from workers.traces import traced  # noqa: PLC0415 -- an extra, for those who want it
    except ModuleNotFoundError as missing:
        raise LookupError("an OTLP endpoint is set and OpenTelemetry is not installed: pip install 'portcullis[traces]'") from missing
    return traced(process=station.name, kind=station.kind)


def compose_for(settings: Settings) -> Composer:
    """Return the composer that the configuration asks for.

    Raises:
        Unbranded, BrokenCatalogue: What the letters look like, or a translation, has changed for the worse since the settings were read.
    """
    catalogues.load_all()
    key = settings.key_ring.current(Purpose.MESSAGE_ID)
    return Composer(
        mail_from=settings.mail_from,
        app_url=settings.app_url,
        run_url=settings.run_url,
        message_id_key=key.secret,
        message_id_key_id=key.id,
        branding=Branding.read(settings.branding_words),
        bounce_address=settings.bounce_address,
    )


async def _finish(task: "asyncio.Task[None]") -> None:
    """Let a task that stops by itself when the process drains come to its end, for as long as there is time."""
    await asyncio.wait({task}, timeout=DRAIN_SECONDS)
    await _end(task)


async def _end(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
