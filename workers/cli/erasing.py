"""Forgetting one person."""

from typing import Annotated, cast

from cyclopts import Parameter

from jobs import client
from workers.cli.database import connected, read_id_types
from workers.cli.options import AsJson
from workers.cli.screen import tell, tell_json


async def erase(
    member: Annotated[str, Parameter(help="Id of the person, as the main app had it.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; kept in the record, so don't name the person.")],
    as_json: AsJson = False,
) -> None:
    """Forget a person who has left: who it was, not what was done.

    Removes their rows in the ledgers of all runs, addresses, letters, factors, and what leads from the record's pseudonyms to them. The
    record itself and all counts stay, and still verify. Refused while `directory.member` has them. In the middle of a run their letter is
    not sent, and the run ends as it would. Repeat it as often as you like. Needs DATABASE_URL only.

    ```console
    $ portcullis erase 4711 --reason "request 2026-118"
    ```
    """
    async with connected() as db:
        types = await read_id_types(db)
        async with db.transaction(isolation="read_committed"):
            found = await client.erase_member(db, cast("client.Id", types.to_member(member)), reason=reason)
    if as_json:
        tell_json(found)
    elif any(found.values()):
        told = f"{found['ledger_rows']} rows of {found['runs']} runs, {found['factors']} factors, {found['orders']} orders"
        tell(f"Forgotten: {told}. Counts and record stay as they were.")
    else:
        tell("Nothing was known of this person.")
