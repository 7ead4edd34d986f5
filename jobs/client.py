"""Portcullis for a Python main app: its SQL functions as typed coroutines, on the app's own connection and in its own transaction.

One file that needs nothing but asyncpg, so that an app with a `jobs` module of its own may copy it. Every function takes an
`asyncpg.Connection` (or what a pool's `acquire` gives) and commits nothing. Ids are what asyncpg takes for your columns: `int`, `str`
or `UUID`.

    async with pool.acquire() as db, db.transaction(isolation="read_committed"):
        match await sign_in_requirement(db, user_id, started_with="password"):
            case Requirement.NONE: ...                     # write a full session
            case Requirement.SECOND_FACTOR_SETUP: ...      # write one that may enrol and sign out, nothing else

Errors of `PortcullisError` say what and what to do. Like any error of PostgreSQL they leave the transaction aborted: roll it back.
Whatever else goes wrong is raised in asyncpg's own words. Where the gate or a sign-in raises, serve nothing: the gate fails closed.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeAlias
from uuid import UUID

import asyncpg

Id: TypeAlias = int | str | UUID
"""An id of a member or an organization, as the main app's own key has it."""


class Connection(Protocol):
    """What is used of an asyncpg connection."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run a query and return its rows."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Run a query and return the first value of its first row."""

    def is_in_transaction(self) -> bool:
        """Tell whether a transaction is open."""


class Requirement(StrEnum):
    """What a session must do before it is served. The gate never answers anything else."""

    NONE = "none"
    SECOND_FACTOR_SETUP = "second_factor_setup"


class Verdict(StrEnum):
    """What a requirement means for one member."""

    UNPROTECTED = "unprotected"
    PROTECTED = "protected"
    SSO = "sso"
    EXEMPT = "exempt"
    INACTIVE = "inactive"


class RunState(StrEnum):
    """Whether a run still works."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class RunStage(StrEnum):
    """How far a run has come."""

    PLAN = "plan"
    ENFORCE = "enforce"
    NOTIFY = "notify"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """Members of one verdict and kind, and how many of their sessions would be ended. `kind` is the main app's own word."""

    verdict: Verdict
    kind: str | None
    members: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Members judged so far, by verdict."""

    unprotected: int
    protected: int
    sso: int
    exempt: int
    inactive: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """The members' letters by state, one per judged member; the admin's report comes on top."""

    owed: int
    sending: int
    deferred: int
    accepted: int
    refused: int
    uncertain: int
    suppressed: int
    cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """Units of work. A dead one waits for a human: `portcullis dead` says why."""

    open: int
    done: int
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One run. Times are aware. Ids are as JSON has them: numbers, or text (a `uuid` is text)."""

    run_id: int
    organization_id: int | str
    epoch: int
    state: RunState
    stage: RunStage
    members: int
    verdicts: Verdicts
    sessions_ended: int
    letters: Letters
    batches: Batches
    requested_by: int | str | None
    reason: str | None
    stopped_because: str | None
    requested_at: datetime
    last_session_ended_at: datetime | None
    last_letter_at: datetime | None
    finished_at: datetime | None
    errors: tuple[str, ...]
    """What failed last in batches that are open or dead, at most five."""
    effective_at: datetime | None = None
    """The date that the run waits, or waited, for; `None`: it began at once."""

    @classmethod
    def from_json(cls, text: str) -> "RunStatus":
        """Read the object that `portcullis.run_status` returns; keys of a newer Portcullis are passed over."""
        status = json.loads(text)
        return cls(
            **_known(
                cls,
                status,
                state=RunState(status["state"]),
                stage=RunStage(status["stage"]),
                verdicts=Verdicts(**_known(Verdicts, status["verdicts"])),
                letters=Letters(**_known(Letters, status["letters"])),
                batches=Batches(**_known(Batches, status["batches"])),
                requested_at=datetime.fromisoformat(status["requested_at"]),
                last_session_ended_at=_time(status["last_session_ended_at"]),
                last_letter_at=_time(status["last_letter_at"]),
                finished_at=_time(status["finished_at"]),
                errors=tuple(status["errors"]),
                effective_at=_time(status.get("effective_at")),
            )
        )


class PortcullisError(Exception):
    """Portcullis refused. `message` says what, `hint` what to do; nothing was changed."""

    sqlstate: ClassVar[str | None] = None

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message}. {hint}" if hint else message)


class UnknownOrganization(PortcullisError):  # noqa: N818 -- these are named by the condition, as their SQLSTATEs are
    """`directory.organization` has no such id."""

    sqlstate = "PC001"


class NotAMember(PortcullisError):  # noqa: N818 -- as above
    """Whoever flips the switch must be an active member of the organization."""

    sqlstate = "PC002"


class NotCompliant(PortcullisError):  # noqa: N818 -- as above
    """Whoever flips the switch must have a second factor, or sign in by SSO only: nobody locks themselves out."""

    sqlstate = "PC003"


class NothingToLift(PortcullisError):  # noqa: N818 -- as above
    """The organization requires no second factor."""

    sqlstate = "PC004"


class UnknownRun(PortcullisError):  # noqa: N818 -- as above
    """There is no such run."""

    sqlstate = "PC005"


class WrongIsolation(PortcullisError):  # noqa: N818 -- as above
    """A sign-in must run under READ COMMITTED: an older snapshot would miss a switch that was just made."""

    sqlstate = "PC006"


class RunIsOver(PortcullisError):  # noqa: N818 -- as above
    """Only a running run can be cancelled."""

    sqlstate = "PC007"


class UnfitOption(PortcullisError):  # noqa: N818 -- as above
    """A date or a grace of more than a year, or a negative one."""

    sqlstate = "PC008"


class OnlyAddedTo(PortcullisError):  # noqa: N818 -- as above
    """A record of the audit is never changed or deleted."""

    sqlstate = "PC009"


class StillAMember(PortcullisError):  # noqa: N818 -- as above
    """Somebody is erased when they are no longer in `directory.member`: the next batch would write them down again."""

    sqlstate = "PC010"


class NoReason(PortcullisError):  # noqa: N818 -- as above
    """Somebody is erased for a reason."""

    sqlstate = "PC011"


class NoTransaction(PortcullisError):  # noqa: N818 -- as above
    """A sign-in outside a transaction: the lock that holds off a switch would be gone before the session is written."""


class MalformedId(PortcullisError):  # noqa: N818 -- as above
    """What was given is not of the type that ids have here."""


BY_SQLSTATE = {
    error.sqlstate: error
    for error in (
        UnknownOrganization,
        NotAMember,
        NotCompliant,
        NothingToLift,
        UnknownRun,
        WrongIsolation,
        RunIsOver,
        UnfitOption,
        OnlyAddedTo,
        StillAMember,
        NoReason,
    )
}


async def preview_second_factor(db: Connection, organization_id: Id, *, exempt_kinds: Sequence[str] = ()) -> list[PreviewRow]:
    """Return who would be affected, unprotected members first; empty: the organization has no members. Changes nothing.

    Counts everybody, so at a million members it takes seconds.

    Raises:
        UnknownOrganization: There is no such organization.
    """
    with _refusals():
        rows = await db.fetch(
            "SELECT verdict, kind, members, sessions FROM portcullis.preview_second_factor($1, $2)", organization_id, list(exempt_kinds)
        )
    return [PreviewRow(**{**row, "verdict": Verdict(row["verdict"])}) for row in rows]


async def require_second_factor(
    db: Connection,
    organization_id: Id,
    *,
    requested_by: Id,
    reason: str | None,
    exempt_kinds: Sequence[str] = (),
    effective_at: datetime | None = None,
    grace: timedelta | None = None,
) -> int:
    """Switch on, and return the run's id. While a requirement stands and its run was not cancelled: that run's id, nothing changes.

    Takes effect when your transaction commits; keep what follows in it short, because sign-ins of this organization wait.

    `effective_at` (aware): applies from then on, with reminders 7 days and 1 day before; `None`: at once. `grace`: how long whoever
    joins later has time (see `member_joined`); `None`: not at all.

    Raises:
        UnknownOrganization: There is no such organization.
        NotAMember: `requested_by` is no active member of it.
        NotCompliant: `requested_by` has no second factor.
        UnfitOption: The date or the grace is more than a year, or the grace is negative.
    """
    options = (effective_at, grace)
    with _refusals():
        run_id = await db.fetchval(
            "SELECT portcullis.require_second_factor_with($1, $2, $3, $4, $5, $6)"
            if options != (None, None)
            else "SELECT portcullis.require_second_factor($1, $2, $3, $4)",
            *(organization_id, requested_by, reason, list(exempt_kinds)),
            *(options if options != (None, None) else ()),
        )
    return int(run_id)


async def change_second_factor(
    db: Connection,
    organization_id: Id,
    *,
    requested_by: Id,
    reason: str | None,
    exempt_kinds: Sequence[str] | None = None,
    effective_at: datetime | None = None,
    grace: timedelta | None = None,
) -> int:
    """Change options of a requirement that stands (`None`: as it is), and return the run that carries it out.

    Tightening holds at once; a kind that is no longer exempted gets a run of its own. Loosening never gives back what has run out.

    Raises:
        UnknownOrganization, NotAMember, NotCompliant, UnfitOption: As `require_second_factor`.
        NothingToLift: No requirement stands.
        WrongIsolation: The transaction is not READ COMMITTED.
    """
    kinds = None if exempt_kinds is None else list(exempt_kinds)
    with _refusals():
        run_id = await db.fetchval(
            "SELECT portcullis.change_second_factor($1, $2, $3, $4, $5, $6)",
            *(organization_id, requested_by, reason, kinds, effective_at, grace),
        )
    return int(run_id)


async def member_joined(db: Connection, organization_id: Id, user_id: Id) -> datetime | None:
    """Start the personal grace of somebody who joins, once, in the transaction in which they do; return until when they have time.

    `None`: nothing is required of anybody there. Without this call a joiner has no grace.
    """
    with _refusals():
        found: datetime | None = await db.fetchval("SELECT portcullis.member_joined($1, $2)", organization_id, user_id)
    return found


async def second_factor_deadline(db: Connection, user_id: Id) -> datetime | None:
    """Return by when this user has to set up a second factor, in the past or in the future; `None`: they need not.

    Over several organizations it is the earliest. For a notice in the app: the gate decides.
    """
    with _refusals():
        found: datetime | None = await db.fetchval("SELECT portcullis.second_factor_deadline($1)", user_id)
    return found


async def lift_second_factor(db: Connection, organization_id: Id, *, requested_by: Id, reason: str | None) -> None:
    """Switch off. Waits for the batches in flight: when your transaction commits, no further session will be ended.

    Raises:
        UnknownOrganization, NotAMember, NotCompliant: As `require_second_factor`.
        NothingToLift: No requirement stands.
    """
    with _refusals():
        await db.fetchval("SELECT portcullis.lift_second_factor($1, $2, $3)", organization_id, requested_by, reason)


async def cancel_run(db: Connection, run_id: int, *, reason: str | None) -> None:
    """Stop a run, while the requirement and so the gate stands.

    Raises:
        UnknownRun: There is no such run.
        RunIsOver: It is done or cancelled.
    """
    with _refusals():
        await db.fetchval("SELECT portcullis.cancel_run($1, $2)", run_id, reason)


async def erase_member(db: Connection, user_id: Id, *, reason: str) -> dict[str, int]:
    """Forget a person in everything that Portcullis keeps: removes who it was, not what was done. Repeat-safe.

    Returns what was found: `ledger_rows`, `runs`, `orders` (runs that they ordered), `factors`. Remove them from your own tables first, in
    the same transaction if you like. In the middle of a run nothing is lost: their letter is not sent, the run ends.

    Raises:
        StillAMember: `directory.member` still has them.
        NoReason: The reason is empty.
    """
    with _refusals():
        erased: dict[str, int] = json.loads(await db.fetchval("SELECT portcullis.erase_member($1, $2)::text", user_id, reason))
        return erased


async def sign_in_requirement(db: Connection, user_id: Id, *, started_with: str | None) -> Requirement:
    """Return what a session about to be written must do: over all organizations of the user, the strictest wins.

    Call it in the transaction that writes the session. `started_with`: 'password', 'sso', 'token', 'remember_me', ...; `None` counts
    as a password.

    Raises:
        NoTransaction: No transaction is open.
        WrongIsolation: The transaction is not READ COMMITTED.
    """
    if not db.is_in_transaction():
        raise NoTransaction(
            "sign_in_requirement needs the transaction that writes the session",
            "Open one, ask, and write the session before it commits.",
        )
    with _refusals():
        return Requirement(await db.fetchval("SELECT portcullis.sign_in_requirement($1, $2)", user_id, started_with))


async def gate(db: Connection, user_id: Id, organization_id: Id | None, *, started_with: str | None) -> Requirement:
    """Return whether a request may be served; ask for each one, and never cache the answer.

    `organization_id`: the one that the request is for; `None`: all of the user's, the strictest wins.
    """
    with _refusals():
        return Requirement(await db.fetchval("SELECT portcullis.gate($1, $2, $3)", user_id, organization_id, started_with))


async def run_status(db: Connection, run_id: int) -> RunStatus:
    """Return how a run is doing, from counters: cheap enough to be asked every second.

    Raises:
        UnknownRun: There is no such run.
    """
    with _refusals():
        # As text, because the app may have told asyncpg to decode jsonb in a way of its own.
        return RunStatus.from_json(await db.fetchval("SELECT portcullis.run_status($1)::text", run_id))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if type(error) is asyncpg.DataError:  # the server's own are of its subclasses
            raise MalformedId(str(error), "Pass ids in the type that asyncpg has for your column.") from error
        if (refusal := BY_SQLSTATE.get(error.sqlstate)) is None:
            raise
        raise refusal(error.message, error.hint) from error


def _known(shape: type[Any], given: dict[str, Any], **read: Any) -> dict[str, Any]:
    return {field.name: read[field.name] if field.name in read else given[field.name] for field in fields(shape)}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
