"""Sign in: name, password and code at once. Whatever was wrong, the answer is the same, and a name that nobody has takes as long as one.

count the attempt ─▶ compare the password ─▶ count the code ─▶ find its step ─▶ spend it and begin the session
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from jobs.keys import KeyRing
from jobs.operators import passwords
from jobs.operators.names import read_name
from jobs.operators.sessions import Started, digest_of, new_token
from jobs.operators.throttle import Tried, key_of, reserve
from jobs.second_factor import codes
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, unseal
from jobs.store.database import Database
from jobs.store.statements import statement

FIND = statement("find_operator")
SIGN_IN = statement("sign_in_operator")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What somebody typed, and the address that they typed it at."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False)
    address: str


async def sign_in(db: Database, keys: KeyRing, typed: SignIn, *, lasts: timedelta, at: datetime | None = None) -> Started | None:
    """Let somebody in, or not. `at` is the database's clock unless given.

    `db` commits by itself: attempts must be counted before they are looked at.
    """
    name = read_name(typed.name) or ""
    by_password, by_code = key_of(Tried.PASSWORD, name, typed.address), key_of(Tried.CODE, name)
    if await reserve(db, Tried.PASSWORD, by_password, at=at) is None:
        _note(name, "password_locked")
        return None
    found = await db.fetchrow(FIND, name)
    if not await passwords.is_right(typed.password, found and found["password_hash"]):
        _note(name, "password_wrong")
        return None
    now = await reserve(db, Tried.CODE, by_code, at=at)
    if now is None:
        _note(name, "code_locked")
        return None
    step = _step_of(keys, found, typed.code, now)
    token = new_token()
    row = await db.fetchrow(SIGN_IN, name, step, found["password_hash"], digest_of(token), lasts, [by_password, by_code])
    if row is None:
        _note(name, "code_wrong" if step == codes.NO_STEP else "code_replayed")
        return None
    log.info("operator_signed_in", operator=name, role=row["role"])
    return Started(token=token, name=name)


def _step_of(keys: KeyRing, found: Any, typed: str, now: datetime) -> int:
    code = codes.read_code(typed)
    if code is None:
        return codes.NO_STEP
    place = Place(kind=Kind.OPERATOR, user_id=found["name"], item_id=found["operator_id"])
    try:
        secret = unseal(keys, place, Sealed(key_id=found["key_id"], secret=found["secret"]))
    except UnreadableError as error:
        log.error("secret_unreadable", operator=found["name"], key=error.key_id, why=error.why)  # noqa: TRY400 -- the reason says it all
        return codes.NO_STEP
    return codes.matching_step(secret, code, codes.step_at(now))


def _note(name: str, why: str) -> None:
    """Note the reason, which whoever tried is not told. Only a name that can be one is written down."""
    log.warning("operator_sign_in_refused", operator=name, why=why)
