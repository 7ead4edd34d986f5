"""The broker: dramatiq's own interface over our queues in Redis.

PostgreSQL holds the work; a message is a hint at it. So this broker can do without everything that loses work when Redis does: no
retries, delays, dead letters, groups or results. It promises: as long as Redis lives a hint is delivered at least once, a bad message
never runs, and nothing grows without bound.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from dramatiq import Broker, Message, Middleware
from dramatiq.errors import QueueNotFound
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.keys import KeyRing
from jobs.routing import ENFORCE_QUEUE, NOTIFY_QUEUE
from workers.broker.consumer import IDLE_SECONDS, BellConsumer, Intake
from workers.broker.drain import Drain
from workers.broker.errors import UnpublishableError, as_closed_connection
from workers.broker.holding import Holding
from workers.broker.redis_queue import Depth, RedisQueue
from workers.broker.rejected import Quarantined
from workers.broker.screening import Screening
from workers.broker.signed_encoder import MAX_BYTES, SignedEncoder

NAMESPACE: Final = "portcullis"
CHUNK: Final = 256
"""Messages a script call appends: Redis does nothing else meanwhile, about a third of a millisecond."""


@dataclass(frozen=True, slots=True)
class _Queue:
    redis: RedisQueue
    holding: Holding


class PortcullisBroker(Broker):
    """Made by `open_broker`. Publishing is thread-safe; from asyncio use `publish`."""

    def __init__(
        self,
        *,
        client: "redis.Redis",
        namespace: str,
        key_ring: KeyRing,
        allowed_actors: frozenset[str],
        quarantine: Callable[[Quarantined], None],
        drain: Drain,
        middleware: list[Middleware],
    ) -> None:
        super().__init__(middleware=middleware)
        self.client = client
        self.namespace = namespace
        self._drain = drain
        self._quarantine = quarantine
        self._screening = Screening(encoder=SignedEncoder(key_ring), actors=self.actors, allowed=allowed_actors)

    @property
    def drain(self) -> asyncio.Event:
        """Set on the worker's event loop as soon as a shutdown begins; an actor that takes long should look at it.

        It is made anew at each boot: ask for it on the loop, not at import.
        """
        return self._drain.begun

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known; twice is once. It has no delay queue beside it."""
        if queue_name in self.queues:
            return
        self.emit_before("declare_queue", queue_name)
        queue = RedisQueue(self.client, namespace=self.namespace, name=queue_name, max_bytes=MAX_BYTES)
        self.queues[queue_name] = _Queue(queue, Holding())
        self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> BellConsumer:
        """Return a consumer that holds at most `prefetch` messages and looks up every `timeout` ms, at least every second."""
        queue = self._find(queue_name)
        intake = Intake(
            queue=queue.redis,
            holding=queue.holding,
            screening=self._screening,
            quarantine=self._quarantine,
            drain=self._drain,
        )
        return BellConsumer(intake, limit=prefetch, idle_seconds=min(timeout / 1000, IDLE_SECONDS))

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish one message in one round trip.

        Raises:
            UnpublishableError: With a delay or an option, for an actor that is not allowed, not JSON, or too long.
            ConnectionClosed: Redis is away; the message may nevertheless have arrived.
            MemoryFullError, QueueFullError: Not now; nothing was published.
        """
        if delay is not None:
            raise UnpublishableError("there are no delayed messages: what is due later is a row with a next_at in PostgreSQL")
        self.enqueue_many([message])
        return message

    def enqueue_many(self, messages: Iterable[Message[Any]], *, first: bool = False) -> None:
        """Publish many, in one round trip for each queue and each 256 messages of it; their order is kept within a queue.

        `first`: they go before whatever waits that was not published so.

        Everything is checked and signed before anything is sent. Raises what `enqueue` raises; earlier parts stay published.
        """
        sealed: defaultdict[str, list[bytes]] = defaultdict(list)
        batch = list(messages)
        for message in batch:
            self.emit_before("enqueue", message, None)
            sealed[self._find(message.queue_name).redis.name].append(self._screening.seal(message))
        for queue_name, payloads in sealed.items():
            self._push(self._find(queue_name).redis, payloads, first=first)
        for message in batch:
            self.emit_after("enqueue", message, None)

    async def publish(self, messages: Iterable[Message[Any]], *, first: bool = False) -> None:
        """`enqueue_many` for asyncio: the calling loop goes on while a thread talks to Redis."""
        await asyncio.to_thread(self.enqueue_many, messages, first=first)

    async def has_urgent(self, queue_name: str) -> bool:
        """Say whether something waits that was published to go first; while Redis is away nothing is known to."""
        try:
            return await asyncio.to_thread(self._find(queue_name).redis.has_first)
        except redis.RedisError:
            return False

    def depth(self, queue_name: str) -> Depth:
        """Count what a queue holds; for metrics and people. Raises `ConnectionClosed`."""
        with as_closed_connection():
            return self._find(queue_name).redis.depth()

    def flush(self, queue_name: str) -> None:
        """Drop what waits in a queue: hints, which the conductor publishes again."""
        with as_closed_connection():
            self._find(queue_name).redis.flush()

    def flush_all(self) -> None:
        """Drop what waits in every declared queue."""
        for queue_name in self.get_declared_queues():
            self.flush(queue_name)

    def close(self) -> None:
        """Close the connections to Redis."""
        self.client.close()

    def _find(self, queue_name: str) -> _Queue:
        try:
            queue: _Queue = self.queues[queue_name]
        except KeyError:
            raise QueueNotFound(queue_name) from None
        return queue

    @staticmethod
    def _push(queue: RedisQueue, payloads: Sequence[bytes], *, first: bool) -> None:
        with as_closed_connection():
            for start in range(0, len(payloads), CHUNK):
                queue.push(payloads[start : start + CHUNK], first=first)


def count_hints(client: "redis.Redis") -> dict[str, Depth]:
    """Count what each queue of the workers holds, without a broker: for metrics and people. Raises what redis-py raises."""
    queues = [RedisQueue(client, namespace=NAMESPACE, name=name, max_bytes=MAX_BYTES) for name in (ENFORCE_QUEUE, NOTIFY_QUEUE)]
    return {queue.name: queue.depth() for queue in queues}


def connect(redis_url: str) -> "redis.Redis":
    """Return a client that fails fast and never sends a command twice by itself: a repeated enqueue would be a second message."""
    return redis.Redis.from_url(
        redis_url,
        protocol=2,
        socket_timeout=5,
        socket_connect_timeout=3,
        retry=Retry(NoBackoff(), 0),
    )
