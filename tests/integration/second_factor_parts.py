"""Members with an authenticator app, for tests of the second factor: a phone that shows codes, and the clock that both go by."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import pyotp

from jobs.keys import KeyRing
from jobs.second_factor import (
    Accepted,
    Account,
    Begun,
    Confirmed,
    FirstFactor,
    FirstMethod,
    Origin,
    Recovered,
    Refused,
    begin,
    confirm,
    recover,
    verify,
)

NOW = datetime(2026, 3, 2, 10, 0, 10, tzinfo=UTC)
"""Ten seconds into a step."""

STEP = timedelta(seconds=30)

ACCOUNT = Account(issuer="Kestrel", label="ada@kestrel.example", last_active_at=NOW - timedelta(days=1))

T = TypeVar("T")


def ring(*ids: str) -> KeyRing:
    """A key ring; the same id is always the same key."""
    return KeyRing.parse(",".join(f"{key_id}:{base64.b64encode(key_id.encode().ljust(32, b'.')).decode()}" for key_id in ids))


KEYS = ring("k1")


def shown(user_id: Any, method: FirstMethod = FirstMethod.PASSWORD) -> FirstFactor:
    """Somebody whose password was right."""
    return FirstFactor(user_id=user_id, method=method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """An authenticator app that somebody set up; written with pyotp alone, as a real one knows nothing of us."""

    user_id: Any
    secret: str
    recovery_codes: tuple[str, ...] = ()

    def code(self, at: datetime = NOW) -> str:
        return pyotp.TOTP(self.secret).at(at)

    def wrong(self, at: datetime = NOW) -> str:
        near = {self.code(at + step * STEP) for step in range(-2, 3)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


async def no_sessions(db: asyncpg.Connection, user_id: Any) -> int:
    """An app that has no sessions to end."""
    return 0


async def begun(db: asyncpg.Connection, user_id: Any, *, keys: KeyRing = KEYS, at: datetime = NOW, **shown_by: Any) -> Phone:
    """Begin a factor and scan it, without confirming it."""
    answer = await begin(db, keys, shown(user_id), ACCOUNT, dormant_after=None, at=at, **shown_by)
    assert isinstance(answer, Begun), answer
    return Phone(user_id=user_id, secret=pyotp.parse_uri(answer.uri).secret)


async def enrolled(db: asyncpg.Connection, user_id: Any, *, keys: KeyRing = KEYS, at: datetime = NOW - 2 * STEP, **shown_by: Any) -> Phone:
    """Somebody with a factor, confirmed a minute ago: the present code and the one before are theirs to use."""
    phone = await begun(db, user_id, keys=keys, at=at, **shown_by)
    answer = await confirm(db, keys, shown(user_id), phone.code(at), end_other_sessions=no_sessions, at=at)
    assert isinstance(answer, Confirmed), answer
    return Phone(user_id=user_id, secret=phone.secret, recovery_codes=answer.recovery.codes)


@asynccontextmanager
async def crowd(url: str, size: int) -> AsyncIterator[list[asyncpg.Connection]]:
    """Connections of as many people at once."""
    connections = await asyncio.gather(*(asyncpg.connect(url) for _ in range(size)))
    try:
        yield connections
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


async def at_once(
    url: str, times: int, do: Callable[[asyncpg.Connection, int], Coroutine[Any, Any, T]], *, connections: int = 25
) -> list[T]:
    """Do something `times` times, on as many connections as are allowed, all beginning at the same moment."""
    async with crowd(url, min(times, connections)) as people:
        share = [range(first, times, len(people)) for first in range(len(people))]

        async def one(connection: asyncpg.Connection, mine: range) -> list[T]:
            return [await do(connection, number) for number in mine]

        done = await asyncio.gather(*(one(connection, mine) for connection, mine in zip(people, share, strict=True)))
    return [answer for answers in done for answer in answers]


WHERE = Origin(address="192.0.2.7", device="Firefox on Linux")

COUNTED_BY_PORTCULLIS = """
    CREATE OR REPLACE VIEW directory.member AS
    SELECT membership.organization_id, membership.user_id, account.email, account.email_verified_at IS NOT NULL AS email_verified,
           account.display_name, account.locale, account.time_zone, membership.kind, account.password_hash IS NOT NULL AS has_password,
           (SELECT true FROM app.identities i WHERE i.user_id = membership.user_id LIMIT 1) IS NOT NULL AS has_sso,
           (SELECT true FROM app.second_factors f WHERE f.user_id = membership.user_id AND f.confirmed_at IS NOT NULL LIMIT 1) IS NOT NULL
               OR portcullis.has_second_factor(membership.user_id) AS has_second_factor,
           account.deactivated_at IS NULL AS is_active
    FROM app.memberships AS membership
    LEFT JOIN app.users AS account ON account.user_id = membership.user_id
"""
"""The reference app's view, where a factor of Portcullis counts beside the app's own: both may exist."""


async def check(db: asyncpg.Connection, phone: Phone, code: str | None = None, at: datetime = NOW) -> Accepted | Refused:
    return await verify(db, KEYS, shown(phone.user_id), phone.code(at) if code is None else code, at=at)


async def use(db: asyncpg.Connection, phone: Phone, code: str, **how: Any) -> Recovered | Refused:
    how = {"end_other_sessions": no_sessions, "at": NOW, **how}
    return await recover(db, KEYS, shown(phone.user_id, how.pop("method", FirstMethod.PASSWORD)), code, **how)


async def effects(db: asyncpg.Connection, user: Any) -> list[str]:
    rows = await db.fetch("SELECT effect FROM portcullis.factor_audit WHERE user_id = $1 ORDER BY audit_id", user)
    return [row["effect"] for row in rows]


async def letters(db: asyncpg.Connection, user: Any) -> list[str]:
    rows = await db.fetch("SELECT letter FROM portcullis.factor_letter WHERE user_id = $1 ORDER BY letter_id", user)
    return [row["letter"] for row in rows]
