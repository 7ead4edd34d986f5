"""Who may sign in to the console. Whoever has the database decides; every change is written down with who and why."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from jobs.domain.permissions import Role
from jobs.store.steering import note as note_order
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.ordering import Why, an_order
from workers.cli.screen import moment, note, table, tell, tell_json
from workers.settings import ConsoleSettings

if TYPE_CHECKING:
    from jobs.operators import Listed
    from jobs.operators.roster import Invitation
    from jobs.store.database import Connection

HEADINGS = ("NAME", "ROLE", "ADDED", "LAST SIGN-IN", "SESSIONS", "STATE")

Name: TypeAlias = Annotated[str, Parameter(help="What they type to sign in: letters, digits and . _ @ + -, up to 64.")]


async def add(
    name: Name,
    /,
    *,
    role: Annotated[Role, Parameter(help="What they may do: `viewer` looks, `operator` looks and acts.")],
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Let somebody sign in to the console, by an invitation that works once.

    Prints a code to hand over by a way that only they read. With it they choose a password and set up the second factor that everybody has
    who signs in there. It is good for three days. Needs DATABASE_URL only.

    ```console
    $ portcullis operators add mara --role operator --reason "on call from May on"
    ```
    """
    from jobs.operators import add as add_operator  # noqa: PLC0415 -- Argon2 and codes are for who needs them

    address = _welcome()
    async with connected() as db, db.transaction():
        invitation = await add_operator(db, _name(name), role)
        if invitation is None:
            to_do = f"`portcullis operators reset {_name(name)}` invites them anew."
            raise Failure(ExitCode.REFUSED, "operator_exists", f"There is an operator {_name(name)} already", to_do)
        await _record(db, "add_operator", name, reason, role=role)
    _hand_over(_name(name), role, invitation, address, as_json=as_json)


async def list_(*, as_json: AsJson = False) -> None:
    """List who may sign in to the console.

    Needs DATABASE_URL only.

    ```console
    $ portcullis operators list
    ```
    """
    from jobs.operators import list_operators  # noqa: PLC0415 -- as above

    async with connected() as db:
        found = await list_operators(db)
    if as_json:
        tell_json({"operators": [asdict(one) for one in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("Nobody yet: `portcullis operators add` invites somebody.")


async def reset(name: Name, /, *, reason: Why, as_json: AsJson = False) -> None:
    """Take password, second factor and sessions away, and invite anew.

    For somebody who lost their phone, or whose account may be in other hands. Prints a new code. Needs DATABASE_URL only.

    ```console
    $ portcullis operators reset mara --reason "lost her phone"
    ```
    """
    from jobs.operators import reset as reset_operator  # noqa: PLC0415 -- as above

    address = _welcome()
    async with connected() as db, db.transaction():
        invitation = await reset_operator(db, _name(name))
        if invitation is None:
            raise _unknown(name)
        await _record(db, "reset_operator", name, reason)
    _hand_over(_name(name), None, invitation, address, as_json=as_json)


async def remove(name: Name, /, *, reason: Why, as_json: AsJson = False) -> None:
    """Let somebody sign in no longer; their sessions end.

    What they did stays in the record. Needs DATABASE_URL only.

    ```console
    $ portcullis operators remove mara --reason "has left"
    ```
    """
    from jobs.operators import remove as remove_operator  # noqa: PLC0415 -- as above

    async with connected() as db, db.transaction():
        if not await remove_operator(db, _name(name)):
            raise _unknown(name)
        await _record(db, "remove_operator", name, reason)
    if as_json:
        tell_json({"name": _name(name), "removed": True})
    else:
        tell(f"{_name(name)} can't sign in any more.")


def _name(typed: str) -> str:
    from jobs.operators.names import read_name  # noqa: PLC0415 -- as above

    name = read_name(typed)
    if name is None:
        to_do = "Use letters, digits and . _ @ + -, up to 64, beginning with a letter or a digit."
        raise Failure(ExitCode.USAGE, "malformed_name", f"{typed!r} can't be the name of an operator", to_do)
    return name


def _unknown(name: str) -> Failure:
    return Failure(ExitCode.NOT_FOUND, "unknown_operator", f"There is no operator {_name(name)}", "`portcullis operators list` lists them.")


async def _record(db: "Connection", verb: str, name: str, reason: str, **details: str) -> None:
    await note_order(db, an_order(reason), verb, scope="operator", subject=_name(name), details=details)


def _welcome() -> str:
    """Return where an invitation is used. Asked first: a code that was made and can't be handed over is lost."""
    return f"{ConsoleSettings.load().reached_at}/welcome"


def _hand_over(name: str, role: Role | None, invitation: "Invitation", address: str, *, as_json: bool) -> None:
    if as_json:
        tell_json({"name": name, "role": role, "address": address, "code": invitation.code, "until": invitation.until})
        return
    tell(f"Hand this to {name}, by a way that nobody else reads:", "")
    tell(f"  Open  {address}", f"  Name  {name}", f"  Code  {invitation.code}", "")
    note(f"It works once, until {moment(invitation.until)}, and is not shown again.")


def _row(one: "Listed") -> tuple[object, ...]:
    state = "ready" if one.is_set_up else "invited" if one.invited_until else "-"
    return (one.name, one.role, moment(one.added_at), moment(one.signed_in_at), one.sessions, state)
