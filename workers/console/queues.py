"""Both queues: how much is in them, how old the oldest is, what comes and goes in a minute, when they will be empty, who paused them."""

from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import steering
from jobs.store.steering import PauseScope
from jobs.store.views import queues as views
from jobs.store.views.queues import Motion
from workers.console import state
from workers.console.doors import acting
from workers.console.live import Shown, watched
from workers.console.orders import done, in_words, order_of
from workers.console.refusals import stale

WAITING = 10
BACK = "/queues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Batches in and out a minute, and how long until nothing is left; `None`: at this rate never, or nobody can say."""

    in_a_minute: float
    out_a_minute: float
    drained_in_seconds: float | None


def flow(motion: Motion, left: int) -> Flow:
    """Return a queue's flow. What is planned at once comes in at once, so only what leaves says how long the rest takes."""
    minutes = state.LATELY.total_seconds() / 60
    out = motion.ended / minutes
    return Flow(in_a_minute=motion.made / minutes, out_a_minute=out, drained_in_seconds=60 * left / out if out and left else None)


@watched
async def queues(request: Request) -> Shown:
    """Show both."""
    seen = await state.look(request)
    async with request.app.state.pool.acquire() as db:
        waiting = {name: await views.list_waiting(db, name, limit=WAITING) for name in seen.queues}
    flows = {name: flow(seen.motion[name], one.due + one.later + one.in_flight) for name, one in seen.queues.items()}
    return Shown(template="queues.html", values={"seen": seen, "waiting": waiting, "flows": flows})


@acting
async def pause(request: Request, session: Session, form: FormData) -> Response:
    """Pause one."""
    order, queue = order_of(session, form, back=BACK), request.path_params["queue"]
    with in_words(back=BACK):
        if not await steering.pause(request.app.state.pool, order, PauseScope.QUEUE, queue):
            raise stale(f"Queue {queue} was paused meanwhile", back=BACK)
    return done(BACK, "paused")


@acting
async def resume(request: Request, session: Session, form: FormData) -> Response:
    """Let it go on."""
    order, queue = order_of(session, form, back=BACK), request.path_params["queue"]
    with in_words(back=BACK):
        if not await steering.resume(request.app.state.pool, order, PauseScope.QUEUE, queue):
            raise stale(f"Queue {queue} is not paused, or not any more", back=BACK)
    return done(BACK, "resumed")
