"""Worker processes: who is alive and what each holds, and an end to one that gives back what it has not begun."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from jobs.store import steering
from jobs.store.steering import WorkerSeen
from workers.cli.database import connected
from workers.cli.options import AsJson
from workers.cli.ordering import Why, an_order
from workers.cli.screen import moment, span, table, tell, tell_json

HEADINGS = ("WORKER", "VERSION", "THREADS", "HOLDS", "LAG", "LAST SEEN", "STARTED", "STATE")


async def list_(*, as_json: AsJson = False) -> None:
    """List worker processes: version, what each holds, how late its event loop is, when it was last heard of.

    Each says so every 5 seconds. One that was silent for 30 seconds is gone or cut off; what it held is given to others when its lease has
    run out. Needs DATABASE_URL only.

    ```console
    $ portcullis workers
    $ portcullis workers list --json
    ```
    """
    async with connected() as db:
        found = await steering.list_workers(db)
    if as_json:
        tell_json({"workers": [asdict(worker) for worker in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("No worker is alive: start `enforcer` and `mailer` of the Procfile.")


async def drain(
    worker: Annotated[str, Parameter(help="The worker, as `portcullis workers` lists it: host:pid/queue or host:pid.")],
    /,
    *,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Tell a worker process to finish what it holds, give back the rest, and end.

    As SIGTERM would: it hears of it within 5 seconds and exits with 0, and every process that the same dramatiq command has started beside
    it ends too. Whatever supervises them decides whether they start again. Needs DATABASE_URL only.

    ```console
    $ portcullis workers drain web-1:4711/notify --reason "a new kernel"
    ```
    """
    async with connected() as db:
        is_new = await steering.drain_worker(db, an_order(reason), worker)
    if as_json:
        tell_json({"worker": worker, "is_new": is_new})
    else:
        tell(f"Worker {worker} {'is told' if is_new else 'had been told already'} to end.")


def _row(worker: WorkerSeen) -> tuple[object, ...]:
    lag = None if worker.lag_seconds is None else f"{worker.lag_seconds * 1000:.0f} ms"
    seen = f"{span(worker.silent_seconds)} ago"
    return (worker.worker, worker.version, worker.threads, worker.held, lag, seen, moment(worker.started_at), _state(worker))


def _state(worker: WorkerSeen) -> str:
    if worker.is_silent:
        return "silent"
    if worker.is_draining:
        return "draining"
    return f"told to end by {worker.drain_ordered_by}" if worker.drain_ordered_at else "at work"
