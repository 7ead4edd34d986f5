"""Addresses that are not written to: who they are and why, and how to change it."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from jobs.store import suppressions
from jobs.store.steering import MalformedOrderError, Stale
from jobs.store.suppressions import Source, Suppression
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson, Limit
from workers.cli.ordering import an_order
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("ADDRESS", "SOURCE", "SINCE", "UNTIL", "RUN", "REASON")

Address = Annotated[str, Parameter(help="An e-mail address.")]
Why = Annotated[str, Parameter(help="Why; kept with the record of who did it.")]


async def list_(
    address: Annotated[str | None, Parameter(help="Only this address.")] = None,
    /,
    *,
    source: Annotated[Source | None, Parameter(help="Only what came from there.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List addresses that are not written to, the latest first, each with its reason.

    `refused` and `bounce` end after 180 days by themselves, and do not hold back letters that warn a member of a change of their second
    factor, or the report to the admin. What an operator put there holds until it is removed, and for every letter. Needs DATABASE_URL only.

    ```console
    $ portcullis suppressions list
    $ portcullis suppressions list ada@example.com --json
    ```
    """
    try:
        async with connected() as db:
            found = await suppressions.list_suppressions(db, source=source, address=address, limit=limit)
    except MalformedOrderError as error:
        raise _malformed(error) from error
    if as_json:
        tell_json({"suppressions": [asdict(one) for one in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("No address is suppressed." if address is None else "This address is not suppressed.")


async def add(address: Address, /, *, reason: Why, as_json: AsJson = False) -> None:
    """Write to an address no more, until it is removed from the list.

    It holds for every letter, from the next one on; a letter that was tried before is tried on. Needs DATABASE_URL only.

    ```console
    $ portcullis suppressions add ada@example.com --reason "belongs to somebody else"
    ```
    """
    try:
        async with connected() as db:
            await suppressions.suppress(db, an_order(reason), address)
    except MalformedOrderError as error:
        raise _malformed(error) from error
    if as_json:
        tell_json({"suppressed": suppressions.spellings(address)[0]})
    else:
        tell(f"{suppressions.spellings(address)[0]} is not written to any more.")


async def remove(address: Address, /, *, reason: Why, as_json: AsJson = False) -> None:
    """Write to an address again, from the next letter on.

    Letters that were suppressed stay so: the next run writes again. If the address refuses mail once more, it comes back by itself. Needs
    DATABASE_URL only.

    ```console
    $ portcullis suppressions remove ada@example.com --reason "the mailbox exists again"
    ```
    """
    try:
        async with connected() as db:
            source = await suppressions.unsuppress(db, an_order(reason), address)
    except MalformedOrderError as error:
        raise _malformed(error) from error
    except Stale as stale:
        raise Failure(ExitCode.NOT_FOUND, stale.name, stale.what, stale.to_do) from stale
    if as_json:
        tell_json({"removed": suppressions.spellings(address)[0], "source": source})
    else:
        tell(f"{suppressions.spellings(address)[0]} is written to again.")


def _malformed(error: MalformedOrderError) -> Failure:
    return Failure(ExitCode.USAGE, "malformed", str(error)[:1].upper() + str(error)[1:], "Pass one address, and a reason.")


def _row(one: Suppression) -> tuple[object, ...]:
    return (one.address, one.source, moment(one.since), moment(one.expires_at), str(one.run_id or "-"), one.reason)
