"""Everything that one call of the bench has measured, and the figures that follow from it.

A ratio is taken within one round, whose parts ran one after the other on the same server; then come median and spread of the rounds.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from tests.benchmarks.mailing import CONNECTIONS, DELAY, LIMIT, Mailing
from tests.benchmarks.neighbours import Beside
from tests.benchmarks.whole_run import Measured

MIB = 1024 * 1024
TIMES = " \N{MULTIPLICATION SIGN}"
WORKERS = ("enforcer", "mailer")

NOISY = 0.2
"""Where other processes take more of the CPU than this, a ratio says more about them than about us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What it ran on."""

    cores: int
    cpu: str
    python: str
    postgres: str
    redis: str
    sink: str


@dataclass(slots=True, kw_only=True)
class Results:
    """What was measured; a part that was left out is empty. Sizes are members."""

    machine: Machine
    octets_a_letter: int
    crew: str
    runs: list[Measured] = field(default_factory=list)
    statements: list[float] = field(default_factory=list)
    sources: list[float] = field(default_factory=list)
    small: list[Measured] = field(default_factory=list)
    large: list[Measured] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    first_sessions: list[float] = field(default_factory=list)
    gates: list[list[float]] = field(default_factory=list)
    gate_members: int = 0
    peers: dict[str, list[Measured]] = field(default_factory=dict)
    mailing: list[Mailing] = field(default_factory=list)

    @property
    def ours(self) -> list[Measured]:
        """All runs of ours, of whatever size."""
        return [*self.small, *self.runs, *self.large]

    @property
    def foreign_share(self) -> float:
        """Which part of the CPU's time other processes took, in the median of our runs."""
        return _median(run.foreign_share for run in self.ours)

    @property
    def is_noisy(self) -> bool:
        """Whether that is too much to believe the figures."""
        return self.foreign_share > NOISY


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A row of the table. `samples` has a value a round; `bound` is what must be reached and `goal` what is aimed at."""

    name: str
    samples: Sequence[float]
    unit: str
    bound: float
    goal: float
    more_is_better: bool = False
    judged_by_worst: bool = False
    absolute: str = ""

    @property
    def value(self) -> float:
        """The median, or the worst where the figure is about a maximum."""
        if self.judged_by_worst:
            return min(self.samples) if self.more_is_better else max(self.samples)
        return statistics.median(self.samples)

    @property
    def outcome(self) -> str:
        """Say which of the two is reached."""
        if self._reaches(self.goal):
            return "goal"
        return "reached" if self._reaches(self.bound) else "missed"

    def _reaches(self, mark: float) -> bool:
        return self.value >= mark if self.more_is_better else self.value <= mark


def figures(results: Results) -> list[Figure]:
    """Return the rows that there are samples for, in the order of the issue."""
    return [figure for figure in (*_speeds(results), *_sizes(results), *_latencies(results), *_mailing(results)) if figure.samples]


def quantile(samples: Iterable[float], part: float) -> float:
    """Return the sample below which that part of them lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _speeds(results: Results) -> Iterable[Figure]:
    celery = next(iter(results.peers.values()), [])
    biggest = results.runs if not results.large or (results.runs and results.runs[0].members > results.large[0].members) else results.large
    yield Figure(
        name="switch → last session ended, against one set-based SQL statement",
        samples=[run.last_session / seconds for run, seconds in zip(results.runs, results.statements, strict=False)],
        unit=TIMES,
        bound=1.5,
        goal=1.0,
        absolute=f"{_median(run.last_session for run in results.runs):.2f} s against {_median(results.statements):.2f} s",
    )
    yield Figure(
        name="letters/s with the ledger, against `smtp-source -d -s 16` on the same sink",
        samples=[run.letters_a_second / source for run, source in zip(results.runs, results.sources, strict=False)],
        unit=TIMES,
        bound=0.6,
        goal=1.0,
        more_is_better=True,
        absolute=f"{_median(run.letters_a_second for run in results.runs):,.0f} against {_median(results.sources):,.0f}",
    )
    yield Figure(
        name="members/s in all, against a Celery task per user",
        samples=[run.members_a_second / peer.members_a_second for run, peer in zip(results.runs, cycle(celery), strict=False)],
        unit=TIMES,
        bound=30,
        goal=60,
        more_is_better=True,
        absolute=f"{_median(x.members_a_second for x in results.runs):,.0f} against {_median(x.members_a_second for x in celery):,.0f}",
    )
    yield Figure(
        name=f"time per member at {_size(biggest):,} against {_size(results.small):,}",
        samples=[
            (large.last_letter / large.members) / (small.last_letter / small.members)
            for large, small in zip(biggest, results.small, strict=False)
        ],
        unit=TIMES,
        bound=1.15,
        goal=1.0,
        absolute=f"{_each(biggest):.0f} against {_each(results.small):.0f} µs",
    )


def _sizes(results: Results) -> Iterable[Figure]:
    yield Figure(
        name="Redis peak, whatever the size",
        samples=[run.redis_peak / MIB for run in results.ours],
        unit=" MiB",
        bound=4,
        goal=2,
        judged_by_worst=True,
    )
    for worker in WORKERS:
        yield Figure(
            name=f"{worker} process, resident, whatever the size",
            samples=[run.resident[worker] / MIB for run in results.ours],
            unit=" MiB",
            bound=150,
            goal=100,
            judged_by_worst=True,
        )


def _latencies(results: Results) -> Iterable[Figure]:
    switches = len(results.first_sessions)
    for name, part, bound, goal in (("p50", 0.5, 100, 20), ("p99", 0.99, 500, 100)):
        yield Figure(
            name=f"switch → first session ended, idle, organization of 20, {name} of {switches} switches",
            samples=[1000 * quantile(results.first_sessions, part)] if switches else [],
            unit=" ms",
            bound=bound,
            goal=goal,
        )
    yield Figure(
        name=f"gate, p99 on loopback at {results.gate_members:,} members",
        samples=[1000 * quantile(calls, 0.99) for calls in results.gates],
        unit=" ms",
        bound=2,
        goal=0.5,
        absolute=f"p50 {1000 * _median(quantile(calls, 0.5) for calls in results.gates):.2f} ms",
    )
    yield Figure(
        name=f"ten organizations of 50 beside one of {_size(results.large):,}, against their time alone",
        samples=[beside.ratio for beside in results.beside],
        unit=TIMES,
        bound=3,
        goal=1.5,
        absolute=_beside(results),
    )
    yield Figure(
        name=f"the one of {_size(results.large):,} beside the ten, against its time alone",
        samples=[beside.large / alone.last_letter for beside, alone in zip(results.beside, results.large, strict=False)],
        unit=TIMES,
        bound=3,
        goal=1.5,
        absolute=f"{_median(x.large for x in results.beside):.1f} s against {_median(run.last_letter for run in results.large):.1f} s",
    )


def _mailing(results: Results) -> Iterable[Figure]:
    rounds = results.mailing
    both = [(x.unpipelined, x.aiosmtplib) for x in rounds if x.unpipelined and x.aiosmtplib]
    yield Figure(
        name="letters/s to a relay without PIPELINING, against aiosmtplib's `sendmail` on reused connections",
        samples=[ours / theirs for ours, theirs in both],
        unit=TIMES,
        bound=1.0,
        goal=1.5,
        more_is_better=True,
        absolute=f"{_median(ours for ours, _ in both):,.0f} against {_median(theirs for _, theirs in both):,.0f}",
    )
    yield Figure(
        name=f"with a limit of {LIMIT}/s: letters in the busiest second, against the limit and one burst",
        samples=[x.busiest / (2 * LIMIT) for x in rounds],
        unit=TIMES,
        bound=1.0,
        goal=1.0,
        judged_by_worst=True,
        absolute=f"{_median(x.busiest for x in rounds):.0f} letters",
    )
    yield Figure(
        name=f"with a limit of {LIMIT}/s: use of it",
        samples=[100 * x.used for x in rounds],
        unit=" %",
        bound=98,
        goal=99.5,
        more_is_better=True,
    )
    yield Figure(
        name=f"letters/s where every reply comes {1000 * DELAY:.0f} ms late, against connections ÷ delay",
        samples=[x.delayed / (CONNECTIONS / DELAY) for x in rounds],
        unit=TIMES,
        bound=0.8,
        goal=0.95,
        more_is_better=True,
        absolute=f"{_median(x.delayed for x in rounds):,.0f} of {CONNECTIONS / DELAY:,.0f}",
    )
    yield Figure(name="composing a letter: fill, not encode", samples=[x.fill for x in rounds], unit=" µs", bound=20, goal=8)
    pace = [run.pace for run in (results.large or results.runs) if run.pace]
    yield Figure(
        name="letters/s in the last tenth of a run, against its first",
        samples=pace,
        unit=TIMES,
        bound=0.9,
        goal=1.0,
        more_is_better=True,
    )


def _beside(results: Results) -> str:
    beside, alone = [x for each in results.beside for x in each.beside], [x for each in results.beside for x in each.alone]
    return f"{1000 * _median(beside):.0f} ms against {1000 * _median(alone):.0f} ms; slowest {1000 * max(beside, default=0):.0f} ms"


def _median(samples: Iterable[float]) -> float:
    return statistics.median([*samples] or [0.0])


def _size(runs: Sequence[Measured]) -> int:
    return runs[0].members if runs else 0


def _each(runs: Sequence[Measured]) -> float:
    return 1e6 * _median(run.last_letter / run.members for run in runs)
