"""How everything is at this moment, asked once for the overview and for the light that every page shows."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request

from jobs.store import operations, steering
from jobs.store.operations import QueueCount
from jobs.store.steering import Breaker, DeadGroup, Pause, PauseScope, WorkerSeen
from jobs.store.views import audit as audit_views
from jobs.store.views import queues as queue_views
from jobs.store.views import runs as run_views
from jobs.store.views.queues import Leader, Motion, Outbox
from workers.broker import Depth
from workers.console import light
from workers.console.light import Cause, Colour, Facts, OpenBreaker, QueueState
from workers.console.wording import said

LATELY: Final = timedelta(minutes=5)
DEAD_GROUPS: Final = 10
LONGEST_CAUSE: Final = 160
ENFORCING: Final = ("plan", "enforce", "settle", "finish")
"""Stages whose batches go to the queue `enforce`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything, with the light that follows from it."""

    queues: dict[str, QueueCount]
    motion: dict[str, Motion]
    outbox: dict[str, Outbox]
    depths: dict[str, Depth] | None
    workers: list[WorkerSeen]
    leader: Leader | None
    breakers: list[Breaker]
    pauses: list[Pause]
    running: int
    causes: list[Cause]
    sentence: str

    @property
    def colour(self) -> Colour:
        """The worst of what is wrong."""
        return self.causes[0].colour if self.causes else Colour.GREEN

    @property
    def leads(self) -> bool:
        """Whether a conductor leads."""
        return self.leader is not None and self.leader.lease_left_seconds > 0


async def look(request: Request) -> State:
    """Ask PostgreSQL and Redis."""
    pool, depths = request.app.state.pool, asyncio.create_task(request.app.state.redis.depths())
    async with pool.acquire() as db:
        counts = {one.queue: one for one in await operations.count_queues(db)}
        motion = await queue_views.measure(db, within=LATELY)
        outbox = await queue_views.look_at_outbox(db)
        workers = await steering.list_workers(db)
        leader = await queue_views.find_leader(db)
        breakers = [one for one in await steering.list_breakers(db) if one.state != "closed"]
        pauses = await steering.list_pauses(db)
        running = await run_views.count_open(db)
        died = await steering.list_dead_groups(db, limit=DEAD_GROUPS) if any(one.dead for one in counts.values()) else []
        broken = [one for one in await audit_views.list_results(db) if one.found]
    known = await depths
    facts = Facts(
        queues=[_queue(counts[name], motion[name], outbox[name], died) for name in sorted(counts)],
        running=running,
        has_conductor=leader is not None and leader.lease_left_seconds > 0,
        pauses=[name_of(pause) for pause in pauses],
        breakers=[OpenBreaker(scope=one.scope, subject=one.subject, cause=said(one.cause)) for one in breakers],
        slow_workers=[one.worker for one in workers if not one.is_silent and (one.lag_seconds or 0) > light.LAG_SECONDS],
        silent_workers=sum(one.is_silent for one in workers),
        is_redis_known=known is not None,
        broken=[f"{one.invariant}, {said(one.words)}" for one in broken],
    )
    causes = light.causes(facts)
    return State(
        queues=counts,
        motion=motion,
        outbox=outbox,
        depths=known,
        workers=workers,
        leader=leader,
        breakers=breakers,
        pauses=pauses,
        running=running,
        causes=causes,
        sentence=light.sentence(facts, causes),
    )


def name_of(pause: Pause) -> str:
    """Return what is paused, in words."""
    match pause.scope:
        case PauseScope.EVERYTHING:
            return "everything"
        case PauseScope.QUEUE:
            return "all letters" if pause.subject == "notify" else "ending sessions"
        case _:
            return f"{pause.scope} {pause.subject}"


def _queue(count: QueueCount, motion: Motion, outbox: Outbox, died: list[DeadGroup]) -> QueueState:
    errors = (one.error for one in died if one.error and (one.stage in ENFORCING) == (count.queue == "enforce"))
    because = said(next(errors, "").partition("HINT:")[0].strip())
    return QueueState(
        name=count.queue,
        due=count.due,
        later=count.later,
        in_flight=count.in_flight,
        dead=count.dead,
        workers=count.workers,
        quarantined=count.quarantined,
        oldest_free_seconds=max(filter(None, (outbox.lag_seconds, outbox.unclaimed_seconds)), default=None),
        ended_lately=motion.ended,
        dead_because=because if len(because) <= LONGEST_CAUSE else f"{because[:LONGEST_CAUSE]}…",
    )
