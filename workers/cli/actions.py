"""What people ordered, whichever way: command line, console or API."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from jobs.store import operations, steering
from jobs.store.steering import Action
from workers.cli.database import connected, read_id_types
from workers.cli.options import AsJson, Limit
from workers.cli.ordering import NUMBER
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("NUMBER", "WHEN", "WHO", "BY", "DID", "TO", "REASON")


async def actions(
    *,
    run: Annotated[int | None, Parameter(help="Only what was done to this run.", validator=NUMBER)] = None,
    organization: Annotated[str | None, Parameter(help="Only what was done to this organization and its runs.")] = None,
    before: Annotated[int | None, Parameter(help="Only earlier ones than this number: the next page.", validator=NUMBER)] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who did what and why, latest first.

    ```console
    $ portcullis actions
    $ portcullis actions --run 7 --json
    ```
    """
    async with connected() as db:
        types = await read_id_types(db)
        if run is not None:
            await operations.look(db, run)  # says so if there is none
        asked = None if organization is None else types.to_organization(organization)
        found = await steering.list_actions(db, run_id=run, organization_id=asked, before=before, limit=limit)
    if as_json:
        tell_json({"actions": [asdict(action) for action in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("Nobody has done anything yet.")


def _row(action: Action) -> tuple[object, ...]:
    to = f"{action.scope} {action.subject}".strip() or (f"run {action.run_id}" if action.run_id else "-")
    return (str(action.action_id), moment(action.happened_at), action.actor, action.via, action.verb, to, action.reason)
