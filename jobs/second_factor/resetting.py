"""An admin takes away the factors of a member who lost them and every recovery code.

That is the back door of every second factor, so: an admin of the member's own organization who complies, never for themselves, with a
reason; all sessions end, the member is told, it is recorded; and the next factor may only be begun by whoever has proved the address.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from jobs.client import BY_SQLSTATE, Id
from jobs.second_factor import ledger
from jobs.second_factor.errors import LastAdmin, NoFactor, NoReason, NotTheirOrganization, OwnFactor
from jobs.second_factor.ledger import NOWHERE
from jobs.second_factor.member import Origin
from jobs.second_factor.session_ends import EndSessions, end_everywhere
from jobs.store.database import Connection
from jobs.store.statements import statement

LOCK = statement("lock_factors")
FIND_MEMBERSHIP = statement("find_membership")
DROP_ALL = statement("drop_all_factors")
DROP_SET = statement("drop_recovery_set")

LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """What was taken away, and how many sessions were ended. The member starts over at `begin`, which asks for their address."""

    kinds: tuple[str, ...]
    sessions_ended: int
    is_override: bool


async def reset(
    db: Connection,
    user_id: Id,
    *,
    organization_id: Id,
    done_by: Id,
    reason: str,
    override: bool = False,
    end_sessions: EndSessions = end_everywhere,
    origin: Origin = NOWHERE,
    at: datetime | None = None,
) -> Reset:
    """Take away all of a member's factors and recovery codes and end all of their sessions, in one transaction, a part of yours if any.

    `override` resets even the last admin who complies; the record says so. Whether `done_by` is an admin is yours to know.

    Raises:
        NoReason, OwnFactor, NotTheirOrganization, NoFactor, LastAdmin: As they say.
        jobs.client.UnknownOrganization, NotAMember, NotCompliant: `done_by` is no active member of the organization who complies.
    """
    told = reason.strip().replace("\0", "")
    if not told or len(told) > LONGEST_REASON:
        raise NoReason
    if str(user_id) == str(done_by):
        raise OwnFactor(user_id)
    async with db.transaction():
        await _check_admin(db, organization_id, done_by)
        if not await db.fetchval(FIND_MEMBERSHIP, organization_id, user_id):
            raise NotTheirOrganization(user_id, organization_id)
        await db.execute(LOCK, user_id)
        alone = await _runs_alone(db, user_id, done_by, organization_id)
        if alone and not override:
            raise LastAdmin(user_id, alone)
        gone = await db.fetch(DROP_ALL, user_id, at)
        if not gone:
            raise NoFactor(user_id)
        await db.execute(DROP_SET, user_id)
        ended = await end_sessions(db, user_id)
        for place, factor in enumerate(gone):
            done = ledger.Done(
                effect=ledger.Effect.RESET,
                user_id=user_id,
                done_by=done_by,
                organization_id=organization_id,
                **factor,
                reason=told,
                is_override=bool(alone),
                sessions_ended=0 if place else ended,
                origin=origin,
            )
            await ledger.record(db, done)
        await ledger.owe(db, ledger.Letter.FACTOR_RESET, user_id, done_by=done_by, facts={"organization": str(organization_id)})
    return Reset(kinds=tuple(sorted({row["kind"] for row in gone})), sessions_ended=ended, is_override=bool(alone))


async def _check_admin(db: Connection, organization_id: Id, done_by: Id) -> None:
    with _in_words():
        await db.execute("SELECT portcullis.check_admin($1, $2)", organization_id, done_by)


async def _runs_alone(db: Connection, user_id: Id, done_by: Id, organization_id: Id) -> tuple[object, ...]:
    rows = await db.fetch("SELECT o FROM portcullis.runs_alone($1, $2, $3) o", user_id, done_by, organization_id)
    return tuple(row["o"] for row in rows)


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if (refusal := BY_SQLSTATE.get(error.sqlstate)) is None:
            raise
        raise refusal(error.message, error.hint) from error
