"""The relay's breaker: while the relay is away, nobody's letter is tried on it.

Opens for 10 s, then for twice as long each time, up to 300 s. When the time is over one probe may try; what the relay answers to it
decides. The breaker keeps time only; what counts as a failure is the pool's to say.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from jobs.ports import Receipt

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0
HELD_SECONDS = 1.0
"""The pause while somebody holds it closed: not to try a relay that is away again and again without one."""


class BreakerState(StrEnum):
    """Closed: letters flow. Open: none is tried. Probing: one connection tries."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the breaker is open. `since` is when the relay was last seen well, in UTC; `receipt` holds the relay's own words."""

    since: datetime
    receipt: Receipt


class RelayBreaker:
    """One relay's breaker in one process."""

    __slots__ = ("_clock", "_first_seconds", "_held_until", "_longest_seconds", "_pause_seconds", "_until", "trouble")

    def __init__(
        self,
        *,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._pause_seconds = 0.0
        self._until = 0.0
        self._held_until = float("-inf")
        self.trouble: Trouble | None = None

    @property
    def state(self) -> BreakerState:
        """What may be tried now."""
        if self.trouble is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_in_seconds else BreakerState.PROBING

    @property
    def retry_in_seconds(self) -> float:
        """Seconds until a letter may be tried; 0: now."""
        return 0.0 if self.trouble is None else max(0.0, self._until - self._clock())

    def trip(self, receipt: Receipt) -> bool:
        """Open, or open for longer after a failed probe; says whether that changed anything.

        Failures of letters that were under way when it opened are late news, not a failed probe.
        """
        if self.state is BreakerState.OPEN:
            return False
        self._pause_seconds = min(self._longest_seconds, self._pause_seconds * 2 or self._first_seconds)
        if self._clock() < self._held_until:
            self._pause_seconds = min(HELD_SECONDS, self._first_seconds)
        self._until = self._clock() + self._pause_seconds
        self.trouble = Trouble(since=self.trouble.since if self.trouble else datetime.now(UTC), receipt=receipt)
        return True

    def reset(self) -> bool:
        """Close: the relay has answered. Says whether it was open."""
        was_open = self.trouble is not None
        self.trouble = None
        self._pause_seconds = 0.0
        return was_open

    def hold_closed(self, seconds: float) -> bool:
        """Close, because somebody said so, and for so long open only for a moment at a time. Says whether it was open."""
        self._held_until = self._clock() + seconds
        return self.reset()
