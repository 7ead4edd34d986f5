"""The run on one page.

    enforce.send ─▶ trigger ─▶ plan_run ─▶ enforce_batch* ─▶ notify_batch* ─▶ finish_run
                                    └──────── hints from the conductor ─────────┘

PostgreSQL holds the work; a message is a pointer (run, batch, token) at one batch, and losing, doubling or reordering it costs time
only. No stage publishes the next one: it commits rows, and the conductor publishes hints for what is due.

Import this after `dramatiq.set_broker`: actors belong to the broker that is set then (`workers.main` does it).
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import dramatiq

from jobs.claiming import run_claimed
from jobs.resources import current
from jobs.routing import ENFORCE_QUEUE, LETTERS, NOTIFY_QUEUE
from jobs.stages.enforce import enforce as enforce_stage
from jobs.stages.finish import close_run
from jobs.stages.plan import plan
from jobs.stages.remind import write_letters
from jobs.stages.trigger import Request, trigger
from jobs.store.batches import Stage

REQUEST_LIFETIME = timedelta(minutes=10)

if dramatiq.broker.global_broker is None:
    raise LookupError("import workers.main before jobs.pipeline: actors belong to the broker that is set when they are declared")


class RequestActor(dramatiq.Actor[Any, Any]):
    """An actor whose messages can be consumed once: each one gets a request id and an expiry when it is made."""

    def message_with_options(self, *, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Build the message; `request_id` and `expires_at` may be given, to make the caller's own retries one request."""
        stamped = {
            "request_id": str(uuid4()),
            "expires_at": (datetime.now(UTC) + REQUEST_LIFETIME).isoformat(),
            **{name: value if name == "reason" else _to_json(value) for name, value in (kwargs or {}).items()},
        }
        return super().message_with_options(args=args, kwargs=stamped, **options)


@dramatiq.actor(actor_class=RequestActor, actor_name="enforce", queue_name=ENFORCE_QUEUE)
async def enforce(
    *, organization_id: int | str, requested_by: int | str, request_id: str, expires_at: str, reason: str | None = None
) -> None:
    """Require a second factor: `enforce.send(organization_id=..., requested_by=...)`. Lives ten minutes, works once."""
    request = Request(
        organization_id=organization_id,
        requested_by=requested_by,
        reason=reason,
        request_id=UUID(request_id),
        expires_at=datetime.fromisoformat(expires_at),
    )
    await trigger(current(), request)


@dramatiq.actor(actor_name="plan_run", queue_name=ENFORCE_QUEUE)
async def plan_run(run: int, batch: int, token: int) -> None:
    """Cut the organization into ranges."""
    await run_claimed(current(), plan, stages=(Stage.PLAN,), run_id=run, batch_id=batch, token=token)


@dramatiq.actor(actor_name="enforce_batch", queue_name=ENFORCE_QUEUE)
async def enforce_batch(run: int, batch: int, token: int) -> None:
    """End the sessions of one range's unprotected members."""
    await run_claimed(current(), enforce_stage, stages=(Stage.ENFORCE,), run_id=run, batch_id=batch, token=token)


@dramatiq.actor(actor_name="notify_batch", queue_name=NOTIFY_QUEUE)
async def notify_batch(run: int, batch: int, token: int) -> None:
    """Send one batch of letters."""
    await run_claimed(current(), write_letters, stages=LETTERS, run_id=run, batch_id=batch, token=token)


@dramatiq.actor(actor_name="finish_run", queue_name=ENFORCE_QUEUE)
async def finish_run(run: int, batch: int, token: int) -> None:
    """Close the run, or settle a cancelled one."""
    await run_claimed(current(), close_run, stages=(Stage.FINISH, Stage.SETTLE), run_id=run, batch_id=batch, token=token)


def _to_json(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value
