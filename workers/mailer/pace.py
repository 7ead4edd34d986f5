"""New connections a minute: some relays block who connects too often."""

from collections import deque

MINUTE_SECONDS = 60.0


class Pace:
    """At most `per_minute` starts in any 60 s; 0 means as many as one likes. `now` is a clock in seconds that never goes back."""

    __slots__ = ("_limit", "_starts")

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._starts: deque[float] = deque(maxlen=per_minute or None)

    def wait(self, now: float) -> float:
        """Return the seconds until the next start is allowed; 0: now."""
        if not self._limit or len(self._starts) < self._limit:
            return 0.0
        return max(0.0, self._starts[0] + MINUTE_SECONDS - now)

    def started(self, now: float) -> None:
        """Count a start."""
        if self._limit:
            self._starts.append(now)
