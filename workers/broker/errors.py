"""What goes wrong between us and Redis, in dramatiq's words.

dramatiq restarts a consumer on its own connection error only. redis-py has many more ways to say "not now" (`TimeoutError`,
`ReadOnlyError`, `OutOfMemoryError`, ...), and each of them used to leave messages taken and never settled.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from dramatiq.errors import BrokerError, ConnectionClosed


class MemoryFullError(BrokerError):
    """Redis refused to take messages because it is at its `maxmemory`; none of them was enqueued."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"Redis is out of memory: nothing was enqueued on {queue!r}; free memory or raise maxmemory, then publish again")  # type: ignore[no-untyped-call]


class QueueFullError(BrokerError):
    """More messages wait than a queue may hold; none of the new ones was enqueued."""

    def __init__(self, queue: str, limit: int) -> None:
        super().__init__(f"queue {queue!r} is full: {limit} messages may wait; start more workers, or publish less at a time")  # type: ignore[no-untyped-call]


class UnpublishableError(ValueError):
    """The message itself can't be published: publishing it again would not help."""


@contextmanager
def as_closed_connection() -> Iterator[None]:
    """Turn every complaint of redis-py into the one error that makes dramatiq restart the consumer."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise ConnectionClosed(f"{type(error).__name__}: {error}") from error
