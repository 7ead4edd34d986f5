"""How far a run is, how fast it goes, and how long it will take: arithmetic on what was looked at. Knows no clock and no screen."""

from collections import deque
from dataclasses import dataclass, field

from jobs.store.operations import Look

WINDOW_SECONDS = 20.0
"""A pace is that of the last seconds: batches end in bursts, and a limiter may have changed its mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Members done of all members of the run; `total` is an estimate while batches are open, and `None` while they are planned."""

    done: int
    total: int | None

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def judged(look: Look) -> Step:
    """Return whose sessions have been dealt with."""
    members: int = look.status["members"]
    if look.status["state"] != "running" or look.status["stage"] in {"notify", "finish"}:
        return Step(done=members, total=members)
    if look.status["stage"] == "plan" or not look.enforced:
        return Step(done=members, total=None)
    return Step(done=members, total=round(members * look.to_enforce / look.enforced))


def settled(look: Look) -> Step:
    """Return whose letter is out, or can't be or need not be sent now."""
    letters = look.status["letters"]
    waiting = letters["owed"] + letters["sending"]
    return Step(done=look.status["members"] - waiting, total=judged(look).total)


@dataclass(slots=True, kw_only=True)
class Pace:
    """Members a second over the last `WINDOW_SECONDS`. Times are seconds of any clock that only goes forward."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, done: int) -> None:
        """Take one sample."""
        self.samples.append((now, done))
        while self.samples[-1][0] - self.samples[0][0] > WINDOW_SECONDS:
            self.samples.popleft()

    @property
    def rate(self) -> float:
        """Members a second; 0: nothing moved, or nothing is known yet."""
        (began, before), (now, done) = (self.samples[0], self.samples[-1]) if self.samples else ((0.0, 0), (0.0, 0))
        return max(0, done - before) / (now - began) if now > began else 0.0

    def seconds_left(self, step: Step) -> float | None:
        """Return how long the rest takes at this pace, or `None`: nobody knows."""
        if step.total is None or not self.rate:
            return None
        return max(0, step.total - step.done) / self.rate
