"""Where a run can be followed from the switch to a letter, if somebody wants to: spans, off unless a worker was configured for them.

A run is a trace. Its id follows from the run itself, so that nothing has to be carried through Redis and every process that touches the
run agrees. Attributes are counts and ids of runs and batches, never a name or an address. Off, a span costs one comparison.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from jobs.store.batches import Claim


class Tracing(Protocol):
    """Takes spans. `workers.traces` has the one that speaks OpenTelemetry."""

    def batch(self, claim: Claim) -> AbstractContextManager[object]:
        """Span over what is done under a claim; an exception marks it."""

    def step(self, name: str, counts: Mapping[str, int]) -> AbstractContextManager[object]:
        """Span over a part of it."""

    def run(self, claim: Claim, counts: Mapping[str, int]) -> None:
        """Span over the whole run, from the switch to now."""


_OFF: AbstractContextManager[object] = nullcontext()
_tracing: list[Tracing] = []


def provide(tracing: Tracing) -> None:
    """Have spans taken from now on."""
    _tracing[:] = [tracing]


def withdraw() -> None:
    """Have none taken."""
    _tracing.clear()


def batch(claim: Claim) -> AbstractContextManager[object]:
    """Span over what is done under a claim."""
    return _tracing[0].batch(claim) if _tracing else _OFF


def step(name: str, **counts: int) -> AbstractContextManager[object]:
    """Span over a part of what is done under a claim."""
    return _tracing[0].step(name, counts) if _tracing else _OFF


def run(claim: Claim, **counts: int) -> None:
    """Span over the whole run of a claim, now that it is over."""
    if _tracing:
        _tracing[0].run(claim, counts)
