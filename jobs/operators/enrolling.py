"""Set up what an operator signs in with: the invitation's code shows a secret, its first code and a password bind both.

Nobody is let in before: the session in between may do nothing else, and ends after a quarter of an hour. The invitation is used up by the
set-up, not before, so that whoever closes the page can begin again.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from jobs.keys import KeyRing
from jobs.operators import passwords
from jobs.operators.names import read_name
from jobs.operators.roster import digest_of as invitation_digest
from jobs.operators.sessions import BEGINNING_FOR, Session, Started, digest_of, new_token
from jobs.operators.throttle import Tried, key_of, reserve
from jobs.second_factor import codes
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, seal, unseal
from jobs.store.database import Database
from jobs.store.statements import statement

FIND_INVITED = statement("find_invited_operator")
BEGIN = statement("begin_operator")
FIND_BEGINNING = statement("find_beginning_operator")
SET_UP = statement("set_up_operator")

log = structlog.get_logger(__name__)


class PoorPasswordError(Exception):
    """What was chosen can't be a password. Says why, in words for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A secret to scan: as an `otpauth://` address and as text to type."""

    uri: str = field(repr=False)
    secret: str = field(repr=False)


async def begin(db: Database, keys: KeyRing, *, name: str, code: str, address: str) -> Started | None:
    """Begin with an invitation's code, in a session that may do nothing but set up; `None`: there is no such invitation."""
    known = read_name(name) or ""
    key = key_of(Tried.INVITATION, known, address)
    if await reserve(db, Tried.INVITATION, key) is None:
        log.warning("operator_invitation_refused", operator=known, why="locked")
        return None
    operator_id = await db.fetchval(FIND_INVITED, known, invitation_digest(code))
    if operator_id is None:
        log.warning("operator_invitation_refused", operator=known, why="unknown")
        return None
    sealed, token = seal(keys, _place(known, operator_id), codes.new_secret()), new_token()
    begun = await db.fetchval(BEGIN, known, invitation_digest(code), sealed.key_id, sealed.secret, digest_of(token), BEGINNING_FOR, [key])
    return None if begun is None else Started(token=token, name=known)


async def secret_of(db: Database, keys: KeyRing, session: Session, *, issuer: str) -> Begun | None:
    """Return what was begun with, to be shown again; `None`: the invitation has expired meanwhile."""
    found = await _secret(db, keys, session)
    if found is None:
        return None
    secret, _ = found
    return Begun(uri=codes.provisioning_uri(secret, issuer=issuer, label=session.name), secret=codes.to_base32(secret))


async def set_up(
    db: Database, keys: KeyRing, session: Session, *, password: str, code: str, lasts: timedelta, at: datetime | None = None
) -> Started | None:
    """Bind the password and the secret whose code this is, and begin a full session; `None`: the code is wrong, or it is too late.

    Raises:
        PoorPasswordError: Before anything is looked at.
    """
    if fault := passwords.poverty(password, session.name):
        raise PoorPasswordError(fault)
    key = key_of(Tried.FIRST_CODE, session.name)
    now = await reserve(db, Tried.FIRST_CODE, key, at=at)
    found = await _secret(db, keys, session)
    typed = codes.read_code(code)
    if now is None or found is None or typed is None:
        return None
    secret, sealed = found
    step = codes.matching_step(secret, typed, codes.step_at(now))
    if step == codes.NO_STEP:
        return None
    token = new_token()
    hashed = await passwords.hashed(password)
    row = await db.fetchrow(SET_UP, session.name, hashed, sealed.secret, step, digest_of(token), lasts, [key])
    if row is None:
        return None
    log.info("operator_set_up", operator=session.name, role=row["role"])
    return Started(token=token, name=session.name)


async def _secret(db: Database, keys: KeyRing, session: Session) -> tuple[bytes, Sealed] | None:
    row = await db.fetchrow(FIND_BEGINNING, session.name)
    if row is None:
        return None
    sealed = Sealed(key_id=row["key_id"], secret=row["secret"])
    try:
        return unseal(keys, _place(session.name, row["operator_id"]), sealed), sealed
    except UnreadableError as error:
        log.error("secret_unreadable", operator=session.name, key=error.key_id, why=error.why)  # noqa: TRY400 -- the reason says it all
        return None


def _place(name: str, operator_id: UUID) -> Place:
    return Place(kind=Kind.OPERATOR, user_id=name, item_id=operator_id)
