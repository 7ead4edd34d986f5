"""Sessions of operators: the browser has a random token, the database its digest. Nothing is believed that a browser says of itself."""

import asyncio
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from jobs.domain.permissions import Role
from jobs.store.database import Database, Pool, log_failure
from jobs.store.statements import statement

log = structlog.get_logger(__name__)

FIND = statement("find_operator_session")
END = statement("end_operator_session")
SET_TIME_ZONE = statement("set_operator_time_zone")
SWEEP = statement("forget_operator_attempts")

TOKEN_BYTES = 32
BEGINNING_FOR = timedelta(minutes=15)
"""How long somebody has to scan, choose a password and type the first code."""
FORGET_AFTER = timedelta(days=1)
NEVER_FORGOTTEN = 100
SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """How long a session lasts, and how long it may rest (NIST SP 800-63B-4 2.2.3: 24 hours and one hour at most)."""

    lasts: timedelta = timedelta(hours=8)
    rests: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in; not `is_full`: who is setting up what is missing, and may do nothing else."""

    token: str = field(repr=False)
    name: str
    role: Role
    time_zone: str | None
    is_full: bool
    started_at: datetime
    expires_at: datetime

    @property
    def csrf(self) -> str:
        """What every form carries. It follows from the token, which no page elsewhere knows."""
        return urlsafe_b64encode(hmac.digest(self.token.encode(), b"portcullis console form", "sha256")).decode().rstrip("=")

    def is_own_form(self, given: object) -> bool:
        """Tell whether a form came from a page of this session."""
        return isinstance(given, str) and hmac.compare_digest(given.encode(), self.csrf.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A session that began: what goes into the cookie."""

    token: str = field(repr=False)
    name: str


def new_token() -> str:
    """Return a fresh token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def find(db: Database, token: str, rules: SessionRules, *, is_here: bool = True) -> Session | None:
    """Return whose token this is; `None`: nobody's any more. `is_here` false: an open page asks, which keeps no session awake."""
    row = await db.fetchrow(FIND, digest_of(token), rules.rests, is_here)
    return None if row is None else Session(token=token, **{**row, "role": Role(row["role"])})


async def end(db: Database, session: Session) -> None:
    """End this session."""
    await db.execute(END, session.name, digest_of(session.token), "this")


async def end_others(db: Database, session: Session) -> int:
    """End every other session of the same operator; returns how many there were."""
    return len(await db.fetch(END, session.name, digest_of(session.token), "others"))


async def set_time_zone(db: Database, session: Session, time_zone: str | None) -> None:
    """Keep the time zone that this operator wants; `None`: the browser's."""
    await db.execute(SET_TIME_ZONE, session.name, time_zone)


async def sweep(db: Database) -> None:
    """Forget sessions that are over and failures that nobody has to wait for any more."""
    await db.execute(SWEEP, FORGET_AFTER, NEVER_FORGOTTEN)


async def sweep_for_ever(db: Pool) -> None:
    """Sweep now and then until cancelled, beside each console: only there it grows, also where nobody ever gets in."""
    while True:
        try:
            await sweep(db)
        except Exception as error:  # noqa: BLE001 -- a right that is missing must show, and must not end it for good
            log_failure(log, "sweeping_failed", error)
        await asyncio.sleep(SWEEP_SECONDS)
