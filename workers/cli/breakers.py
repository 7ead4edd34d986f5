"""Breakers: what is held back because it fares badly, and a person's word that it may go on."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Literal

from cyclopts import Parameter

from jobs.store import steering
from jobs.store.steering import Breaker
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.ordering import Why, an_order
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("BREAKER", "OF", "STATE", "SINCE", "TRIES AGAIN", "HELD CLOSED UNTIL", "SEEN BY", "CAUSE")


async def list_(*, as_json: AsJson = False) -> None:
    """List breakers that are open or were, open ones first, each with its cause.

    Of a relay (as each mailer sees it), a kind of letter, or a recipient domain. An open one tries again by itself. Needs DATABASE_URL
    only.

    ```console
    $ portcullis breakers
    $ portcullis breakers list --json
    ```
    """
    async with connected() as db:
        found = await steering.list_breakers(db)
    if as_json:
        tell_json({"breakers": [asdict(breaker) for breaker in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("No breaker has been open.")


async def close(
    scope: Annotated[Literal["relay", "letter", "domain"], Parameter(help="Of what it is.")],
    subject: Annotated[str, Parameter(help="Of which one, as `portcullis breakers` lists it.")],
    /,
    *,
    for_: Annotated[
        timedelta | None, Parameter(name="--for", show_default=False, help="How long it may not open again, such as 24h or 30m.")
    ] = None,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Close a breaker, because its cause is mended, or hold it closed for a while.

    ```console
    $ portcullis breakers close domain example.com --reason "their postmaster let us in"
    $ portcullis breakers close letter report --for 24h --reason "one bad address, not the letter"
    ```
    """
    if for_ is not None and for_ <= timedelta(0):
        raise Failure(ExitCode.USAGE, "usage", "--for takes a time that lies ahead", "Write it as 30m, 24h or 2d.")
    async with connected() as db:
        closed = await steering.close_breaker(db, an_order(reason), scope, subject, hold=for_)
    if as_json:
        tell_json({"scope": scope, "subject": subject, "closed": closed, "held_seconds": for_ and for_.total_seconds()})
    else:
        held = f", and stays so for {for_}" if for_ else ""
        tell(f"The breaker {scope} {subject} is closed{held}.")


def _row(breaker: Breaker) -> tuple[object, ...]:
    times = (moment(breaker.opened_at), moment(breaker.retry_at), moment(breaker.held_closed_until))
    return (breaker.scope, breaker.subject, breaker.state, *times, breaker.seen_by or "all", breaker.cause)
