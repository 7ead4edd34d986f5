"""When a consumer may declare others dead.

After Redis stalled, or its clock jumped, everybody's last beat looks old, and whoever comes back first would take the work of all the
living. So only a consumer that has itself been beating without a gap, for as long as it takes to be dead, may judge.
"""

from typing import Final

DEAD_AFTER_MS: Final = 10_000
"""Consumers beat every second, also when they are busy. Leases in PostgreSQL are the real recovery; this one is only quicker."""

JUDGE_EVERY_SECONDS: Final = 3.0


class Pulse:
    """Follows one consumer's own beats. `now` is any monotonic clock, in seconds."""

    def __init__(self, now: float) -> None:
        self._steady_since = now
        self._judged_at = now

    def beat(self, gap_ms: int, now: float) -> None:
        """Note a beat that came `gap_ms` after the one before by Redis's clock; -1 when Redis knew of none."""
        if not 0 <= gap_ms <= DEAD_AFTER_MS // 2:
            self._steady_since = now

    def may_judge(self, now: float) -> bool:
        """Answer true at most every `JUDGE_EVERY_SECONDS`."""
        steady = now - self._steady_since >= DEAD_AFTER_MS / 1000
        if not steady or now - self._judged_at < JUDGE_EVERY_SECONDS:
            return False
        self._judged_at = now
        return True
