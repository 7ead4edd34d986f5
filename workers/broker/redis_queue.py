"""One queue in Redis: its keys and what can be done with them, each an atomic step.

    <namespace>:<queue>                  list    messages that wait
    <namespace>:<queue>.first            list    messages that wait and go before those
    <namespace>:<queue>.taken.<consumer> hash    token -> message: taken by that consumer, not yet settled
    <namespace>:<queue>.alive            zset    consumer -> Redis's own time (ms) of its last beat
    <namespace>:<queue>.bell             list    wakes idle consumers

A message is in exactly one place, so nothing can be orphaned; every key has an expiry or a cap. The scripts work at `maxmemory` too,
except the one that adds. One Redis node, 6.2 or later, or Valkey; no cluster. `account.py` has the rights that this needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, cast

import redis

from workers.broker.errors import MemoryFullError, QueueFullError

MAX_WAITING: Final = 4096
"""Messages that may wait in one queue. Those are hints, of which the conductor publishes small windows."""

TIME_TO_LIVE_MS: Final = 3_600_000
"""A queue that nobody touched for an hour holds hints that were published again long ago."""

PREFIX_BYTES: Final = 1024
"""How much is read of a message that is too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One message of a fetch, whole: `sha1` is empty and `length` is that of `data`. Of an oversized one `data` is the beginning."""

    token: str
    data: bytes
    length: int
    sha1: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch brought. `gap_ms`: since the consumer's last beat by Redis's clock; -1 when Redis knows of none."""

    gap_ms: int
    messages: tuple[Taken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much is in a queue: messages waiting, messages taken and not settled, consumers known."""

    waiting: int
    taken: int
    consumers: int


class RedisQueue:
    """The queue `name`. Safe to use from several threads. What else than named goes wrong is raised in redis-py's own words."""

    def __init__(self, client: "redis.Redis", *, namespace: str, name: str, max_bytes: int) -> None:
        self.name = name
        self._client = client
        self._max_bytes = max_bytes
        self._waiting = f"{namespace}:{name}"
        self._first = f"{self._waiting}.first"
        self._alive = f"{self._waiting}.alive"
        self._bell = f"{self._waiting}.bell"
        self._taken_prefix = f"{self._waiting}.taken."
        self._push = _script(client, "push")
        self._fetch = _script(client, "fetch")
        self._give_back = _script(client, "give_back")
        self._recover = _script(client, "recover")

    def push(self, messages: Sequence[bytes], *, first: bool = False) -> None:
        """Append `messages`, at least one, in order: to what waits, or to what waits and goes `first`.

        Raises:
            QueueFullError: They do not fit; none was appended.
            MemoryFullError: Redis is at its `maxmemory`; none was appended.
        """
        match self._push([self._first if first else self._waiting, self._bell], [MAX_WAITING, TIME_TO_LIVE_MS, *messages]):
            case 1:
                raise QueueFullError(self.name, MAX_WAITING)
            case 2:
                raise MemoryFullError(self.name)

    def fetch(self, consumer: str, *, wanted: int, first_token: int) -> Fetched:
        """Beat, and take up to `wanted` messages under tokens from `first_token` up; 0 only beats."""
        keys = [self._waiting, self._taken(consumer), self._alive, self._bell, self._first]
        gap_ms, *entries = self._fetch(keys, [consumer, wanted, first_token, self._max_bytes, PREFIX_BYTES, TIME_TO_LIVE_MS])
        return Fetched(gap_ms=int(gap_ms), messages=tuple(_taken(entry) for entry in entries))

    def settle(self, consumer: str, tokens: Iterable[str]) -> None:
        """Forget taken messages for good. A plain HDEL: it works when Redis is out of memory, and may be repeated."""
        self._client.hdel(self._taken(consumer), *tokens)

    def tokens(self, consumer: str) -> set[str]:
        """Return the tokens of everything the consumer has taken and not settled, as Redis sees it."""
        return {token.decode() for token in cast("list[bytes]", self._client.hkeys(self._taken(consumer)))}

    def give_back(self, consumer: str, tokens: Iterable[str]) -> int:
        """Return taken messages to the end of the queue; how many there were."""
        return int(self._give_back([self._waiting, self._taken(consumer), self._bell], [TIME_TO_LIVE_MS, *tokens]))

    def recover(self, *, dead_after_ms: int) -> int:
        """Return what consumers without a beat for so long had taken; how many messages there were."""
        return int(self._recover([self._waiting, self._alive, self._bell], [dead_after_ms, self._taken_prefix, TIME_TO_LIVE_MS]))

    def leave(self, consumer: str) -> None:
        """Forget a consumer that has nothing taken any more."""
        self._client.zrem(self._alive, consumer)

    def wait_for_bell(self, seconds: float) -> None:
        """Block until messages may be there, at most `seconds`."""
        self._client.blpop([self._bell], timeout=seconds)

    def depth(self) -> Depth:
        """Count what is there, not atomically: for metrics and people."""
        consumers = cast("list[bytes]", self._client.zrange(self._alive, 0, -1))
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.llen(self._waiting)
            pipeline.llen(self._first)
            for consumer in consumers:
                pipeline.hlen(self._taken(consumer.decode()))
            waiting, first, *taken = pipeline.execute()
        return Depth(waiting=waiting + first, taken=sum(taken), consumers=len(consumers))

    def has_first(self) -> bool:
        """Say whether something waits that goes first."""
        return bool(self._client.llen(self._first))

    def flush(self) -> None:
        """Drop what waits. What is taken is left to its consumers."""
        self._client.delete(self._waiting, self._first, self._bell)

    def _taken(self, consumer: str) -> str:
        return self._taken_prefix + consumer


def _script(client: "redis.Redis", name: str) -> Any:
    folder = resources.files("workers.broker") / "lua"
    return client.register_script((folder / "ring.lua").read_text() + (folder / f"{name}.lua").read_text())


def _taken(entry: list[Any]) -> Taken:
    match entry:
        case [token, data]:
            return Taken(token=token.decode(), data=data, length=len(data))
        case [token, prefix, length, sha1]:
            return Taken(token=token.decode(), data=prefix, length=length, sha1=sha1)
    raise redis.InvalidResponse(f"a fetch answered with an entry of {len(entry)} fields")
