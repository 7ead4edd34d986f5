"""One deadline of one connection, moved with every reply.

Moving it costs an assignment: the loop's timer is only touched when it would ring too late, and when it rings too early it is set
again.
"""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` once the deadline has passed. Set to ring after `seconds` at first."""

    __slots__ = ("_due", "_loop", "_ring", "_rings_at", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None], seconds: float) -> None:
        self._loop = loop
        self._ring = ring
        self._due = self._rings_at = loop.time() + seconds
        self._timer = loop.call_at(self._due, self._look)

    def set(self, seconds: float) -> None:
        """Ring `seconds` from now, and not before."""
        self._due = self._loop.time() + seconds
        if self._due < self._rings_at:
            self._timer.cancel()
            self._start()

    def cancel(self) -> None:
        """Never ring."""
        self._timer.cancel()

    def _start(self) -> None:
        self._rings_at = self._due
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._due:
            self._start()
            return
        self._rings_at = float("inf")  # whatever is set next needs a timer of its own
        self._ring()
