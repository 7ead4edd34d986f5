"""What can be ordered. Each order is carried out in one transaction with the record of who gave it and why."""

from datetime import timedelta

from pydantic import BaseModel, Field

from jobs.store import steering
from jobs.store.steering import DeadTally
from workers.api.calls import Call


class Paused(BaseModel):
    """How it is now."""

    is_paused: bool
    has_changed: bool = Field(description="False: it was so already, and nothing was recorded.")


class Cancelled(BaseModel):
    """The run that was stopped."""

    run_id: int


class Acted(BaseModel):
    """What was acted on, or would be: `batches` is empty in a dry run."""

    batches: list[int]
    left: DeadTally = Field(description="What an order with the same words would act on now.")


class LimitSet(BaseModel):
    """What was set before; null: nothing was."""

    before: float | None


class BreakerClosed(BaseModel):
    """In how many processes it was open."""

    changed: int


class Drained(BaseModel):
    """Whether it was told just now; false: it had been told before."""

    has_changed: bool


async def pause(call: Call) -> Paused:
    """Stop a run, an organization, a queue or everything, until somebody resumes it; the gate stands."""
    changed = await steering.pause(call.db, call.order(), call.body.scope, call.body.subject)
    return Paused(is_paused=True, has_changed=changed)


async def resume(call: Call) -> Paused:
    """Let what was paused go on."""
    changed = await steering.resume(call.db, call.order(), call.body.scope, call.body.subject)
    return Paused(is_paused=False, has_changed=changed)


async def cancel_run(call: Call) -> Cancelled:
    """Stop a run for good, while the requirement, and so the gate, stands."""
    await steering.cancel(call.db, call.order(), call.path.run_id)
    return Cancelled(run_id=call.path.run_id)


async def replay_dead(call: Call) -> Acted:
    """Try dead batches again, from the first attempt on."""
    selection, batches = call.body.selection, []
    if not call.body.dry_run:
        batches = await steering.replay(call.db, call.order(), selection, most=call.body.most)
    return Acted(batches=batches, left=await steering.count(call.db, selection))


async def discard_dead(call: Call) -> Acted:
    """Give up the letters of dead batches: they are cancelled, counted, and named in the admin's report."""
    selection, batches = call.body.selection, []
    if not call.body.dry_run:
        batches = await steering.discard(call.db, call.order(), selection, most=call.body.most)
    return Acted(batches=batches, left=await steering.count(call.db, selection))


async def set_limit(call: Call) -> LimitSet:
    """Set a sending limit; mailers obey it within seconds."""
    before = await steering.set_limit(call.db, call.order(), call.body.limits, call.body.subject, call.body.amount)
    return LimitSet(before=before)


async def clear_limit(call: Call) -> LimitSet:
    """Let the configured limit hold again."""
    return LimitSet(before=await steering.clear_limit(call.db, call.order(), call.body.limits, call.body.subject))


async def close_breaker(call: Call) -> BreakerClosed:
    """Close a breaker, because the cause is mended, or hold it closed."""
    hold = None if call.body.hold_seconds is None else timedelta(seconds=call.body.hold_seconds)
    return BreakerClosed(changed=await steering.close_breaker(call.db, call.order(), call.body.scope, call.body.subject, hold=hold))


async def drain_worker(call: Call) -> Drained:
    """Tell a worker process to finish what it holds, give back the rest and end."""
    return Drained(has_changed=await steering.drain_worker(call.db, call.order(), call.body.worker))
