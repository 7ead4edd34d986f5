"""dramatiq on Redis or Valkey, hardened: signed messages, a consumer that survives bad ones, bells instead of polling.

    publish -> [push] -> waiting -> [fetch] -> taken -> actor -> [settle]
                                       |                  |
                                   quarantine        drain, crash: back to waiting

`open_broker` is the way in. A message is a hint; whoever claims the row behind it in PostgreSQL does the work, so a hint may be lost,
doubled or late.
"""

from collections.abc import Callable

from jobs.keys import KeyRing
from workers.broker.boot import BootError
from workers.broker.drain import Drain
from workers.broker.errors import MemoryFullError, QueueFullError, UnpublishableError
from workers.broker.event_loop import EventLoop
from workers.broker.orphan import WatchParent
from workers.broker.portcullis_broker import NAMESPACE, PortcullisBroker, connect
from workers.broker.prefetch import Prefetch
from workers.broker.redis_queue import Depth
from workers.broker.rejected import Quarantined, Reason, RejectedError, UnknownVersionError
from workers.broker.resources import Resources
from workers.broker.shutdown import OneShutdown
from workers.broker.watchdog import STUCK_SECONDS, LoopWatchdog, WatchLoop

__all__ = [
    "BootError",
    "Depth",
    "LoopWatchdog",
    "MemoryFullError",
    "PortcullisBroker",
    "Quarantined",
    "QueueFullError",
    "Reason",
    "RejectedError",
    "Resources",
    "UnknownVersionError",
    "UnpublishableError",
    "open_broker",
]


def open_broker(
    *,
    redis_url: str,
    key_ring: KeyRing,
    allowed_actors: frozenset[str],
    quarantine: Callable[[Quarantined], None],
    namespace: str = NAMESPACE,
    stuck_seconds: int = STUCK_SECONDS,
) -> PortcullisBroker:
    """Return the broker for publishing and for `dramatiq <module>:broker`. Nothing is connected yet.

    `quarantine` is called on a consumer's thread, once for each bad message (again after a crash between the call and the
    acknowledgement); it should return within a few seconds. If it raises, the message comes back after five. A worker whose event loop
    does not answer for `stuck_seconds` ends with status 70.

    dramatiq's default middleware stays off, each for a reason: Retries, Callbacks, Pipelines and GroupCallbacks enqueue *after* the work,
    which loses it when Redis is away; AgeLimit drops; TimeLimit and ShutdownNotifications interrupt a thread while its coroutine
    runs on (stages bound themselves by `asyncio.timeout` and watch `broker.drain`); Prometheus binds 0.0.0.0.

    Booted in this order, shut down in the reverse one; `Resources` belongs at the end.
    """
    drain = Drain()
    return PortcullisBroker(
        client=connect(redis_url),
        namespace=namespace,
        key_ring=key_ring,
        allowed_actors=allowed_actors,
        quarantine=quarantine,
        drain=drain,
        middleware=[EventLoop(), WatchLoop(seconds=stuck_seconds), WatchParent(), OneShutdown(), Prefetch(), drain],
    )
