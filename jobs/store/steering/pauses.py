"""Stop work until somebody says otherwise: one run, one organization, one queue (`notify`: all letters), everything.

A pause holds for whatever begins after it. A transaction that ends sessions takes milliseconds to its end, a wave of letters ten seconds
at most; then its batch is given back, and it has lost no attempt. The gate stands, whatever is paused.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from jobs.store.database import Connection, Database
from jobs.store.ids import IdTypes, MalformedIdError, OrganizationId
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import MalformedOrderError, Order, Stale, Unknown, carrying_out

PAUSE = statement("pause_work")
RESUME = statement("resume_work")
LIST = statement("list_pauses")
FIND_RUN = statement("find_run")
FIND_ORGANIZATION = statement("find_organization")

QUEUES = ("enforce", "notify")
BIGGEST_RUN = 2**63 - 1


class PauseScope(StrEnum):
    """How much is paused. `subject` is the run's number, the organization's id, the queue's name, or nothing for everything."""

    RUN = "run"
    ORGANIZATION = "organization"
    QUEUE = "queue"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What is paused. `waiting_runs`: how many runs it holds up that have something left to do; they may be held up by others too."""

    scope: PauseScope
    subject: str
    paused_by: str
    reason: str
    paused_at: datetime
    waiting_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    subject: str
    run_id: int | None = None
    organization_id: OrganizationId | None = None


async def pause(db: Database, order: Order, scope: PauseScope, subject: str = "") -> bool:
    """Pause. Returns false, and changes and records nothing, if exactly that was paused already.

    Raises:
        Unknown: There is no such run or organization.
        Stale: The run is over and has nothing left to pause.
        MalformedOrderError: No such queue, or a subject where none belongs.
        MalformedIdError: The subject can't be an id.
    """
    async with carrying_out(db) as connection:
        target = await _find(connection, scope, subject, must_go_on=True)
        if await connection.fetchrow(PAUSE, scope, target.subject, order.actor.strip(), order.reason.strip()) is None:
            return False
        await _note(connection, order, "pause", scope, target)
        return True


async def resume(db: Database, order: Order, scope: PauseScope, subject: str = "") -> bool:
    """Let work go on. Returns false, and changes and records nothing, if exactly that was not paused.

    What a wider pause stops stays stopped until that one ends too.

    Raises:
        Unknown, MalformedOrderError, MalformedIdError: As `pause`.
    """
    async with carrying_out(db) as connection:
        target = await _find(connection, scope, subject, must_go_on=False)
        if await connection.fetchrow(RESUME, scope, target.subject) is None:
            return False
        await _note(connection, order, "resume", scope, target)
        return True


async def list_pauses(db: Database) -> list[Pause]:
    """Return all pauses, the widest first."""
    return [Pause(**{**row, "scope": PauseScope(row["scope"])}) for row in await db.fetch(LIST)]


async def _find(db: Connection, scope: PauseScope, subject: str, *, must_go_on: bool) -> _Target:
    """Return what is meant, spelled as `portcullis.is_paused` compares it."""
    match scope:
        case PauseScope.RUN:
            return await _find_run(db, subject, must_go_on=must_go_on)
        case PauseScope.ORGANIZATION:
            return await _find_organization(db, subject)
        case PauseScope.QUEUE:
            if subject not in QUEUES:
                raise MalformedOrderError(f"there is no queue {subject!r}: {' and '.join(QUEUES)} are all")
            return _Target(subject=subject)
        case PauseScope.EVERYTHING:
            if subject:
                raise MalformedOrderError("everything is everything: it takes no name")
            return _Target(subject="")
        case _:
            assert_never(scope)


async def _find_run(db: Connection, subject: str, *, must_go_on: bool) -> _Target:
    if not (subject.isascii() and subject.isdigit() and len(subject) <= len(str(BIGGEST_RUN)) and 0 < int(subject) <= BIGGEST_RUN):
        raise MalformedIdError("number of a run", subject, "bigint")
    run_id = int(subject)
    found = await db.fetchrow(FIND_RUN, run_id)
    if found is None:
        raise Unknown("unknown_run", f"There is no run {run_id}", "`portcullis runs` lists them.")
    if must_go_on and not found["has_open_batches"]:
        what = f"Run {run_id} is {found['state']} and has nothing left to pause"
        raise Stale("run_is_over", what, f"`portcullis status {run_id}` shows it.")
    return _Target(subject=str(run_id), run_id=run_id, organization_id=found["organization_id"])


async def _find_organization(db: Connection, subject: str) -> _Target:
    organization = (await IdTypes.read(db)).to_organization(subject)
    if not await db.fetchval(FIND_ORGANIZATION, organization):
        raise Unknown(
            "unknown_organization", f"There is no organization {subject}", "Use an organization_id of the view directory.organization."
        )
    return _Target(subject=str(organization), organization_id=organization)


async def _note(db: Connection, order: Order, verb: str, scope: PauseScope, target: _Target) -> None:
    await note(db, order, verb, scope=scope, subject=target.subject, run_id=target.run_id, organization_id=target.organization_id)
