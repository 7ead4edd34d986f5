"""Whether the system does its work, and if not, why: what `/readyz` and `portcullis health` say.

The gate is not asked about here: it stands in the main app's database, whatever becomes of us.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.store.measures import QueueMeasure
from workers.metrics.standing import Known, Standing

PROGRAMS = {"enforce": "enforcer", "notify": "mailer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why it doesn't: a constant name for programs, a sentence and what to do for people."""

    name: str
    what: str
    to_do: str


def causes(standing: Standing, *, backlog_seconds: float) -> list[Cause]:
    """Return every reason, the root ones first; empty: it does. `backlog_seconds`: how long due work may wait while nothing moves."""
    return list(_causes(standing, backlog_seconds))


def _causes(standing: Standing, backlog_seconds: float) -> Iterator[Cause]:
    if standing.known is None:
        yield Cause(name="database_lost", what="PostgreSQL can't be asked", to_do="See `portcullis doctor`.")
    if not standing.depths:
        yield Cause(
            name="redis_lost",
            what="Redis can't be asked, so no new work begins",
            to_do="Start it, or correct REDIS_URL. Nothing is lost meanwhile.",
        )
    if standing.known is not None:
        yield from _of_work(standing.known, backlog_seconds)


def _of_work(known: Known, backlog_seconds: float) -> Iterator[Cause]:
    if not known.runs.is_led:
        yield Cause(name="no_conductor", what="no conductor leads, so no new work begins", to_do="Start `portcullis conductor`.")
    for queue in known.queues:
        yield from _of_queue(queue, backlog_seconds)


def _of_queue(queue: QueueMeasure, backlog_seconds: float) -> Iterator[Cause]:
    program = PROGRAMS[queue.queue]
    if queue.ready and not queue.workers:
        yield Cause(
            name="no_worker",
            what=f"{queue.ready} batches are due in `{queue.queue}` and no {program} has been heard of",
            to_do=f"Start the Procfile's `{program}`.",
        )
    if queue.stalled_seconds > backlog_seconds:
        yield Cause(
            name="backlog_old",
            what=f"in `{queue.queue}` {queue.ready} batches are due, and nothing has moved for {queue.stalled_seconds:.0f} s",
            to_do=f"Read the log of the {program}, and `portcullis status` of a run that waits.",
        )
