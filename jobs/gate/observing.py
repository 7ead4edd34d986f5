"""How long the gate took to answer, told to whoever wants to know: a histogram of the main app's own, for example.

`AsgiGate(app, ..., observe=lambda seconds, answer: SECONDS.labels(answer).observe(seconds))`, where `SECONDS` is a `Histogram` of
prometheus-client with one label.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeAlias

from jobs.client import Requirement

Observe: TypeAlias = Callable[[float, str], None]
"""Is given seconds, and the answer: 'none', 'second_factor_setup', or 'unanswered' where nobody could be asked in time."""

UNANSWERED = "unanswered"

log = logging.getLogger(__name__)


class Answer:
    """What was answered, as soon as that is known."""

    requirement: Requirement | None = None


@contextmanager
def observed(observe: Observe | None) -> Iterator[Answer]:
    """Time the block, which is one question. An observer that raises changes no answer."""
    answer, began = Answer(), perf_counter()
    try:
        yield answer
    finally:
        if observe is not None:
            _tell(observe, perf_counter() - began, str(answer.requirement or UNANSWERED))


def _tell(observe: Observe, seconds: float, answer: str) -> None:
    try:
        observe(seconds, answer)
    except Exception:
        log.exception("The gate's observer failed; the answer stands")
