"""Runs: one, many, and an end to one."""

from typing import Annotated, Any

from cyclopts import Parameter

from jobs.store import operations, steering
from workers.cli.database import connected, read_id_types
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson, Limit, Reason, Run
from workers.cli.ordering import an_order
from workers.cli.report import describe
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("RUN", "ORGANIZATION", "STATE", "STAGE", "MEMBERS", "SESSIONS ENDED", "ACCEPTED", "OWED", "DEAD", "REQUESTED", "FINISHED")


async def status(run: Run, /, *, as_json: AsJson = False) -> None:
    """Show one run: verdicts, sessions, letters, and what needs a human.

    `--json` prints the object that `portcullis.run_status(run)` returns in SQL. Needs DATABASE_URL only.

    ```console
    $ portcullis status 7
    $ portcullis status 7 --json | jq .letters
    ```
    """
    async with connected() as db:
        look = await operations.look(db, run)
    if as_json:
        tell_json(look.status)
    else:
        tell(*describe(look))


async def runs(
    *,
    organization: Annotated[str | None, Parameter(help="Only those of this organization.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    ```console
    $ portcullis runs
    $ portcullis runs --organization 42 --limit 5 --json
    ```
    """
    async with connected() as db:
        types = await read_id_types(db)
        asked = None if organization is None else types.to_organization(organization)
        found = await operations.list_runs(db, asked, limit=limit)
        if not found and asked is not None and not await operations.is_known(db, asked):
            to_do = "Use an organization_id of the view directory.organization."
            raise Failure(ExitCode.NOT_FOUND, "unknown_organization", f"There is no organization {organization}", to_do)
    if as_json:
        tell_json({"runs": found})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("No run yet: `portcullis enforce` opens one.")


async def cancel(run: Run, /, *, reason: Reason, as_json: AsJson = False) -> None:
    """Stop a run, while the requirement, and so the gate, stands.

    Letters that have not been begun are cancelled. A later `portcullis enforce` opens a new run; to drop the requirement itself, use
    `portcullis lift`. Needs DATABASE_URL only.

    ```console
    $ portcullis cancel 7 --reason "the letter has a mistake"
    ```
    """
    async with connected() as db:
        await steering.cancel(db, an_order(reason), run)
        look = await operations.look(db, run)
    if as_json:
        tell_json(look.status)
    else:
        tell(f"Run {run} is cancelled. The requirement stands.")


def _row(status: dict[str, Any]) -> tuple[object, ...]:
    letters = status["letters"]
    return (
        str(status["run_id"]),
        str(status["organization_id"]),
        status["state"],
        status["stage"],
        status["members"],
        status["sessions_ended"],
        letters["accepted"],
        letters["owed"] + letters["sending"] + letters["deferred"],
        status["batches"]["dead"],
        moment(status["requested_at"]),
        moment(status["finished_at"]),
    )
