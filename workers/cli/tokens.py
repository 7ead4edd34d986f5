"""Tokens for programs that use the API. Whoever has the database decides; every change is recorded with who and why."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.domain.permissions import Role
from jobs.store import tokens
from jobs.store.tokens import Token
from workers.cli.database import connected
from workers.cli.options import AsJson
from workers.cli.ordering import Why, an_order
from workers.cli.screen import moment, note, table, tell, tell_json

HEADINGS = ("NAME", "ROLE", "MADE", "BY", "UNTIL", "LAST USED", "STATE")

Name: TypeAlias = Annotated[str, Parameter(help="Name of the token, as its orders are recorded: letters, digits and . _ @ -, up to 64.")]


async def add(
    name: Name,
    /,
    *,
    role: Annotated[Role, Parameter(help="What it may do: `viewer` looks, `operator` looks and acts.")],
    days: Annotated[
        int | None,
        Parameter(show_default=False, help="For how long it is good; by default until revoked.", validator=Number(gte=1, lte=3650)),
    ] = None,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Make a token for a program that uses the API.

    It is shown once; only a hash of it is kept. The API is served by `portcullis console` at /api/v1, and describes itself at
    /api/v1/openapi.json. Needs DATABASE_URL only.

    ```console
    $ portcullis tokens add deploy-bot --role operator --days 90 --reason "pauses before deployments"
    ```
    """
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    async with connected() as db:
        token = await tokens.add(db, an_order(reason), name, role, expires_at=expires_at)
    if as_json:
        tell_json({"name": name, "role": role, "token": token, "expires_at": expires_at})
    else:
        tell(token)
        note("It is not shown again. Send it as `Authorization: Bearer ...`.")


async def list_(*, as_json: AsJson = False) -> None:
    """List the API's tokens, without what they are.

    ```console
    $ portcullis tokens list
    ```
    """
    async with connected() as db:
        found = await tokens.list_tokens(db)
    if as_json:
        tell_json({"tokens": [asdict(one) for one in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("None yet: `portcullis tokens add` makes one.")


async def revoke(name: Name, /, *, reason: Why, as_json: AsJson = False) -> None:
    """Let a token be good no longer, from its next request on.

    ```console
    $ portcullis tokens revoke deploy-bot --reason "it was in a log"
    ```
    """
    async with connected() as db:
        await tokens.revoke(db, an_order(reason), name)
    if as_json:
        tell_json({"name": name, "revoked": True})
    else:
        tell(f"The token {name} is good no longer.")


def _row(one: Token) -> tuple[object, ...]:
    state = "good" if one.is_good else "revoked" if one.revoked_at else "expired"
    until = moment(one.expires_at) if one.expires_at else "-"
    used = moment(one.used_at) if one.used_at else "never"
    return (one.name, one.role, moment(one.created_at), one.created_by, until, used, state)
