"""Take a factor away: by its member who shows it, unless an organization requires it; or by an admin for somebody who lost everything.

Whether it is required is looked at after it is gone, in the same transaction and with every switch of the member's organizations held off;
if somebody would see them unprotected, it was never gone. So a removal and a switch at the same moment can't both win.
"""

from datetime import datetime

from jobs.client import Id
from jobs.keys import KeyRing
from jobs.second_factor import ledger
from jobs.second_factor.answers import Refused, Removed, StillRequired
from jobs.second_factor.evidence import refuse_unshown
from jobs.second_factor.ledger import NOWHERE
from jobs.second_factor.member import FirstFactor, Origin
from jobs.second_factor.refusals import Refusal, refuse
from jobs.second_factor.session_ends import EndSessions
from jobs.store.database import Connection
from jobs.store.statements import statement

STANDING = statement("find_standing")
HOLD_SWITCHES = statement("hold_requirements")
LOCK = statement("lock_factors")
DROP = statement("drop_factor")
DROP_SET = statement("drop_recovery_set")
FIND_REQUIREMENTS = statement("find_requirements")


class _RequiredError(Exception):
    """Undoes the removal."""

    def __init__(self, organizations: tuple[object, ...]) -> None:
        self.organizations = organizations
        super().__init__("a factor that is required stays")


async def remove(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    *,
    code: str | None = None,
    ticket: str | None = None,
    end_other_sessions: EndSessions,
    origin: Origin = NOWHERE,
    at: datetime | None = None,
) -> Removed | StillRequired | Refused:
    """Remove the member's factor and recovery codes; the member shows the factor first.

    Raises:
        InTransaction: A code was given, and `db` is in a transaction.
    """
    found = await db.fetchrow(STANDING, member.user_id, at)
    bound = found["factor_id"]
    if bound is None:
        return refuse(member.user_id, Refusal.UNKNOWN)
    who = {"user_id": found["user_id"], "now": found["now"]}
    if refused := await refuse_unshown(db, keys, member, bound, **who, code=code, ticket=ticket, at=at):
        return refused
    try:
        async with db.transaction():
            return await _remove(db, found["user_id"], end_other_sessions, origin)
    except _RequiredError as required:
        return StillRequired(organizations=required.organizations)


async def _remove(db: Connection, user_id: Id, end_other_sessions: EndSessions, origin: Origin) -> Removed | Refused:
    await db.execute(HOLD_SWITCHES, user_id)
    await db.execute(LOCK, user_id)
    gone = await db.fetchrow(DROP, user_id)
    if gone is None:
        return refuse(user_id, Refusal.UNKNOWN)
    if requirements := await db.fetch(FIND_REQUIREMENTS, user_id):
        raise _RequiredError(tuple(row["organization_id"] for row in requirements))
    await db.execute(DROP_SET, user_id)
    ended = await end_other_sessions(db, user_id)
    done = ledger.Done(effect=ledger.Effect.REMOVED, user_id=user_id, done_by=user_id, **gone, sessions_ended=ended, origin=origin)
    await ledger.record(db, done)
    await ledger.owe(db, ledger.Letter.FACTOR_REMOVED, user_id, origin=origin, facts={"disabled": False})
    return Removed(sessions_ended=ended)
