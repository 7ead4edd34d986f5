"""Sending limits, changed while letters leave; they hold instead of the configured ones until they are cleared."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from jobs.store import steering
from jobs.store.steering import LimitScope, SendLimit
from workers.cli.database import connected
from workers.cli.options import AsJson
from workers.cli.ordering import Why, an_order
from workers.cli.screen import moment, table, tell, tell_json

HEADINGS = ("LIMIT", "OF", "LETTERS", "SET BY", "SINCE", "REASON")

Which = Annotated[LimitScope, Parameter(help="What is limited; a quota counts letters in 24 hours, the others letters a second.")]
Subject = Annotated[
    str, Parameter(name="--of", show_default=False, help="One relay (host:port), organization or recipient domain; by default every one.")
]


async def list_(*, as_json: AsJson = False) -> None:
    """List the sending limits that people set.

    Where none is listed, the configured one holds: the README's table names the variables. Needs DATABASE_URL only.

    ```console
    $ portcullis limits
    $ portcullis limits list --json
    ```
    """
    async with connected() as db:
        found = await steering.list_limits(db)
    if as_json:
        tell_json({"limits": [asdict(limit) for limit in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("Nobody has set a limit: the configured ones hold.")


async def set_(
    which: Which,
    amount: Annotated[float, Parameter(help="Letters a second, for a quota in 24 hours; 0 is no limit.")],
    /,
    *,
    of: Subject = "",
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Set a sending limit; mailers obey it within seconds.

    It holds instead of the configured one, until it is cleared. Needs DATABASE_URL only.

    ```console
    $ portcullis limits set domain 5 --of example.com --reason "they defer us"
    $ portcullis limits set relay 200 --reason "the new relay is up"
    ```
    """
    async with connected() as db:
        before = await steering.set_limit(db, an_order(reason), which, of, amount)
    if as_json:
        tell_json({"scope": which, "subject": of, "amount": amount, "before": before})
    else:
        was = "the configured one held" if before is None else f"it was {before:g}"
        tell(f"{_named(which, of)}: {_amount(which, amount)}; {was} before.")


async def clear(which: Which, /, *, of: Subject = "", reason: Why, as_json: AsJson = False) -> None:
    """Let the configured limit hold again.

    ```console
    $ portcullis limits clear domain --of example.com --reason "they take us again"
    ```
    """
    async with connected() as db:
        before = await steering.clear_limit(db, an_order(reason), which, of)
    if as_json:
        tell_json({"scope": which, "subject": of, "amount": None, "before": before})
    else:
        tell(f"{_named(which, of)}: the configured limit holds again; it was {before:g}.")


def _named(which: LimitScope, of: str) -> str:
    return f"{which.capitalize()} {of}".rstrip()


def _amount(which: LimitScope, amount: float) -> str:
    if not amount:
        return "no limit"
    return f"{amount:g} letters {'in 24 hours' if which is LimitScope.QUOTA else 'a second'}"


def _row(limit: SendLimit) -> tuple[object, ...]:
    amount = _amount(limit.scope, limit.amount)
    return (limit.scope, limit.subject or "every one", amount, limit.set_by, moment(limit.set_at), limit.reason)
