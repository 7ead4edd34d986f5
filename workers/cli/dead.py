"""Batches that were put aside for a human: see why, and try them again once the cause is mended."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.store import operations
from jobs.store.database import Connection
from jobs.store.operations import DeadBatch
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import BIGGEST_ID, AsJson, Limit
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("BATCH", "RUN", "ORGANIZATION", "STAGE", "ATTEMPTS", "SINCE", "REASON")
NUMBER = Number(gte=1, lte=BIGGEST_ID)


async def dead(
    *,
    run: Annotated[int | None, Parameter(help="Only those of this run.", validator=NUMBER)] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List batches that were put aside for a human, each with its reason.

    They failed too often, or no retry can help. A run with a dead batch can't be done. Mend the cause, then `portcullis replay`. Needs
    DATABASE_URL only.

    ```console
    $ portcullis dead
    $ portcullis dead --run 7 --json
    ```
    """
    async with connected() as db:
        if run is not None:
            await operations.look(db, run)  # says so if there is none
        found = await operations.list_dead(db, run, limit=limit)
    if as_json:
        tell_json({"dead": [asdict(batch) for batch in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("No batch is dead.")


async def replay(
    batch: Annotated[int | None, Parameter(help="Number of the batch; `portcullis dead` lists them.", validator=NUMBER)] = None,
    /,
    *,
    run: Annotated[int | None, Parameter(help="Instead of one batch: all dead ones of this run.", validator=NUMBER)] = None,
    reason: Annotated[str, Parameter(help="Why they can succeed now; kept with the batches until they do.")],
    as_json: AsJson = False,
) -> None:
    """Try dead batches again, from the first attempt on.

    Nothing is done twice: a session that has ended is left alone, and a letter that may have left is treated as before. Needs
    DATABASE_URL only, and a conductor and workers that do the work.

    ```console
    $ portcullis replay 1234 --reason "the view directory.member is mended"
    $ portcullis replay --run 7 --reason "the relay takes our address again"
    ```
    """
    if (batch is None) == (run is None):
        to_do = "Name one batch, or the run whose dead batches are meant."
        raise Failure(ExitCode.USAGE, "usage", "replay takes either a batch or --run", to_do)
    async with connected() as db:
        replayed = await operations.replay(db, batch_id=batch, run_id=run, reason=reason)
        if not replayed:
            raise await (_refused_batch(db, batch) if batch is not None else _refused_run(db, run or 0))
    if as_json:
        tell_json({"replayed": replayed})
    else:
        tell(f"Open again: {', '.join(f'batch {one}' for one in replayed)}.")


async def _refused_batch(db: Connection, batch_id: int) -> Failure:
    found = await operations.find_batch(db, batch_id)
    if found is None:
        return Failure(ExitCode.NOT_FOUND, "unknown_batch", f"There is no batch {batch_id}", "`portcullis dead` lists the dead ones.")
    if found.state != "dead":
        what = f"Batch {batch_id} of run {found.run_id} is {found.state}, not dead"
        return Failure(ExitCode.REFUSED, "not_dead", what, "Only a dead batch can be replayed; an open one is tried again by itself.")
    what = f"Batch {batch_id} belongs to run {found.run_id}, which is {found.run_state}: what it would do is no longer wanted"
    return Failure(ExitCode.REFUSED, "not_wanted", what, "Leave it; `portcullis enforce` opens a new run where one is wanted.")


async def _refused_run(db: Connection, run_id: int) -> Failure:
    look = await operations.look(db, run_id)
    what = f"Run {run_id} is {look.status['state']} and has no dead batch that is still wanted"
    return Failure(ExitCode.REFUSED, "not_dead", what, f"`portcullis status {run_id}` shows its batches.")


def _row(batch: DeadBatch) -> tuple[object, ...]:
    place = (str(batch.batch_id), str(batch.run_id), str(batch.organization_id), batch.stage)
    return (*place, batch.attempts, moment(batch.died_at), batch.error)
