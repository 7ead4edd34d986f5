"""An end to a run, ordered by somebody who looks after it."""

from jobs import client
from jobs.client import RunIsOver, UnknownRun
from jobs.store.database import Database
from jobs.store.steering.actions import note
from jobs.store.steering.orders import Order, Stale, Unknown, carrying_out


async def cancel(db: Database, order: Order, run_id: int) -> None:
    """Stop a run, while the requirement, and so the gate, stands. Letters that have not begun are cancelled.

    Raises:
        Unknown: There is no such run.
        Stale: It is over.
    """
    async with carrying_out(db) as connection:
        try:
            await client.cancel_run(connection, run_id, reason=order.reason.strip())
        except UnknownRun as error:
            raise Unknown("unknown_run", error.message, error.hint or "") from error
        except RunIsOver as error:
            raise Stale("run_is_over", error.message, error.hint or "") from error
        await note(connection, order, "cancel", scope="run", subject=str(run_id), run_id=run_id)
