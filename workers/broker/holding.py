"""What this process holds of one queue: messages taken from Redis and not yet settled.

It outlives the consumer object, which dramatiq replaces after every connection error, while worker threads go on with what they were
given. Whatever Redis counts as taken by us and is not in here was lost on the way and is given back.
"""

import threading
from collections.abc import Iterable
from uuid import uuid4


class Holding:
    """Tokens, by what is to be done with them. Thread-safe: worker threads finish what the consumer thread took."""

    def __init__(self) -> None:
        self.consumer = uuid4().hex
        """How Redis knows this process."""
        self._changed = threading.Condition()
        self._running: set[str] = set()
        self._unsettled: set[str] = set()
        self._next_token = 0

    def reserve(self, count: int) -> int:
        """Return the first of `count` tokens that were never used before."""
        with self._changed:
            first, self._next_token = self._next_token, self._next_token + count
        return first

    def start(self, token: str) -> None:
        """A message is handed to the worker threads."""
        with self._changed:
            self._running.add(token)

    def finish(self, token: str) -> None:
        """A message is done with; Redis has yet to be told."""
        with self._changed:
            self._running.discard(token)
            self._unsettled.add(token)
            self._changed.notify_all()

    def settled(self, tokens: Iterable[str]) -> None:
        """Redis was told."""
        with self._changed:
            self._unsettled.difference_update(tokens)

    def returned(self, tokens: Iterable[str]) -> None:
        """Messages went back to the queue without being run."""
        with self._changed:
            self._running.difference_update(tokens)
            self._changed.notify_all()

    @property
    def unsettled(self) -> frozenset[str]:
        """What Redis has yet to be told about; grows only while Redis is away."""
        with self._changed:
            return frozenset(self._unsettled)

    @property
    def held(self) -> frozenset[str]:
        """Everything that may not be given back."""
        with self._changed:
            return frozenset(self._running | self._unsettled)

    def room(self, limit: int) -> int:
        """How many more messages may run, of `limit` at a time."""
        with self._changed:
            return max(0, limit - len(self._running))

    def wait_for_room(self, limit: int, seconds: float) -> None:
        """Block until there is room, at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._running) < limit, seconds)
