"""How many connections a relay likes: Postfix's concurrency feedback, in small.

Starts at five, rises by one for each window of accepted letters, falls by one for each failure, and does not rise again for a while
after one: a relay that allows ten connections is not asked for an eleventh with every letter.
"""

import time
from collections.abc import Callable

INITIAL_WINDOW = 5
HOLD_SECONDS = 10.0


class Concurrency:
    """The number of connections worth having, `window`. `clock` counts seconds and never goes back."""

    __slots__ = ("_clock", "_failures", "_hold_seconds", "_hold_until", "_progress", "limit", "window")

    def __init__(self, *, limit: int, hold_seconds: float = HOLD_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.window = min(INITIAL_WINDOW, limit)
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._hold_until = 0.0
        self._progress = 0
        self._failures = 0

    def succeeded(self) -> bool:
        """Count an accepted letter; says whether the window has grown."""
        self._failures = 0
        if self.window >= self.limit:
            return False
        self._progress += 1
        if self._progress < self.window or self._clock() < self._hold_until:
            return False
        self._progress = 0
        self.window += 1
        return True

    def eased(self) -> None:
        """Count a connection that the relay ended after it had done some work."""
        self._hold_until = self._clock() + self._hold_seconds
        self._progress = 0
        self.window = max(1, self.window - 1)

    def failed(self) -> bool:
        """Count a failure; says whether as many in a row, with no letter accepted between, show that the relay is away.

        A window of them, but five at least: one letter that a relay always chokes on must not stop the others.
        """
        self._failures += 1
        away = self._failures >= max(self.window, INITIAL_WINDOW)
        self.eased()
        return away
