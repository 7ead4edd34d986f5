"""The traffic light: what is wrong, in one sentence, and what needs a human. A rule without a clock or a database.

Red: work that should go on does not, or can't without somebody. Yellow: it goes on, and somebody should look. Green: nobody is needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workers.console.wording import plural, span

LATE_SECONDS: Final = 120.0
"""How long a batch that could begin may wait before that is strange: workers and conductor look every second."""
VERY_LATE_SECONDS: Final = 600.0
LAG_SECONDS: Final = 1.0
"""How late an event loop may be; a worker's watchdog ends the process at thirty."""


class Colour(StrEnum):
    """In the order of how much they matter."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong, said in a sentence, with the page where something can be done about it."""

    colour: Colour
    sentence: str
    href: str
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What the light looks at in one queue. `oldest_free_seconds`: how long a batch that nothing holds back has waited."""

    name: str
    due: int
    later: int
    in_flight: int
    dead: int
    workers: int
    quarantined: int
    oldest_free_seconds: float | None
    ended_lately: int
    dead_because: str = ""
    """What the latest dead batch died of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A breaker that is not closed."""

    scope: str
    subject: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the light looks at. `pauses` are sentences' subjects: `everything`, `run 7`."""

    queues: Sequence[QueueState]
    running: int
    has_conductor: bool
    pauses: Sequence[str] = ()
    breakers: Sequence[OpenBreaker] = ()
    slow_workers: Sequence[str] = ()
    silent_workers: int = 0
    is_redis_known: bool = True
    broken: Sequence[str] = ()
    """Invariants that the auditor found broken, each with its first violation in words."""


SERVED_BY: Final = {"enforce": "enforcer", "notify": "mailer"}
WHAT: Final = {"enforce": "sessions don't end", "notify": "letters don't leave"}


def causes(facts: Facts) -> list[Cause]:
    """Return what is wrong, the worst first; empty: nothing."""
    order = list(Colour)
    return sorted(
        [*_broken(facts), *_processes(facts), *_dead(facts), *_late(facts), *_breakers(facts), *_lesser(facts)],
        key=lambda one: order.index(one.colour),
    )


def sentence(facts: Facts, found: Sequence[Cause]) -> str:
    """Return the one sentence."""
    if found:
        return found[0].sentence
    if facts.running:
        return f"{plural(facts.running, 'run')} under way, and nothing needs you."
    return "Nothing is running, and nothing needs you."


def _broken(facts: Facts) -> Iterator[Cause]:
    for what in facts.broken:
        yield Cause(colour=Colour.RED, sentence=f"The auditor found a promise broken: {what}.", href="/audit", page="Audit")


def _processes(facts: Facts) -> Iterator[Cause]:
    waiting = sum(queue.due + queue.in_flight + queue.later for queue in facts.queues)
    if not facts.has_conductor:
        colour = Colour.RED if waiting else Colour.YELLOW
        yield Cause(colour=colour, sentence="No conductor leads, so no new work begins. Start one.", href="/reconciler", page="Reconciler")
    for queue in facts.queues:
        if queue.workers == 0:
            who = SERVED_BY[queue.name]
            if queue.due or queue.in_flight:
                what = f"No {who} is alive, so {WHAT[queue.name]}: {plural(queue.due, 'batch', 'batches')} due. Start one."
                yield Cause(colour=Colour.RED, sentence=what, href="/workers", page="Workers")
            else:
                yield Cause(
                    colour=Colour.YELLOW, sentence=f"No {who} is alive; nothing waits for one now.", href="/workers", page="Workers"
                )
    if not facts.is_redis_known:
        what = "Redis can't be asked. Hints wait until it is back; nothing is lost."
        yield Cause(colour=Colour.RED if waiting else Colour.YELLOW, sentence=what, href="/reconciler", page="Reconciler")


def _dead(facts: Facts) -> Iterator[Cause]:
    for queue in facts.queues:
        if queue.dead:
            of = "sessions to end" if queue.name == "enforce" else "letters"
            verbs = "is dead and waits" if queue.dead == 1 else "are dead and wait"
            said = f"{plural(queue.dead, 'batch', 'batches')} of {of} {verbs} for you"
            said = f"{said}: {queue.dead_because}" if queue.dead_because else f"{said}."
            yield Cause(colour=Colour.RED, sentence=said, href="/dead", page="Dead batches")


def _late(facts: Facts) -> Iterator[Cause]:
    for queue in facts.queues:
        age = queue.oldest_free_seconds or 0
        if queue.workers and age > LATE_SECONDS and not queue.ended_lately:
            colour = Colour.RED if age > VERY_LATE_SECONDS else Colour.YELLOW
            what = (
                f"Queue {queue.name} stands still: a batch has waited for {span(age)} though nothing holds it back, and none was finished."
            )
            yield Cause(colour=colour, sentence=what, href="/queues", page="Queues")


def _breakers(facts: Facts) -> Iterator[Cause]:
    for breaker in facts.breakers:
        colour = Colour.RED if breaker.scope == "relay" else Colour.YELLOW
        what = {"relay": "The relay", "domain": "Mail domain", "letter": "Letter"}.get(breaker.scope, breaker.scope)
        said = f"{what} {breaker.subject} is cut off by its breaker: {breaker.cause}"
        yield Cause(colour=colour, sentence=said if said.endswith(".") else f"{said}.", href="/limits", page="Limits and breakers")


def _lesser(facts: Facts) -> Iterator[Cause]:
    for paused in facts.pauses:
        said = f"{paused[:1].upper()}{paused[1:]} is paused."
        yield Cause(colour=Colour.YELLOW, sentence=said, href="/emergency", page="Emergency stop")
    for worker in facts.slow_workers:
        yield Cause(colour=Colour.YELLOW, sentence=f"Worker {worker} answers late.", href="/workers", page="Workers")
    if facts.silent_workers:
        said = f"{plural(facts.silent_workers, 'worker')} fell silent without a goodbye; what they held goes to others."
        yield Cause(colour=Colour.YELLOW, sentence=said, href="/workers", page="Workers")
    if quarantined := sum(queue.quarantined for queue in facts.queues):
        said = f"{plural(quarantined, 'message')} could not be trusted and {'was' if quarantined == 1 else 'were'} put aside."
        yield Cause(colour=Colour.YELLOW, sentence=said, href="/reconciler", page="Reconciler")
