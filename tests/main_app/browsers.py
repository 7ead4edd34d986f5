"""Whose browser a request comes from: a random token in a cookie, its digest in the database."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "kestrel_browser"
WAITS_FOR = timedelta(minutes=10)
"""How long somebody whose password was right may look for their phone."""

FIND = """
    SELECT b.token_digest, b.user_id, b.session_id, b.ticket, b.waits_until > now() AS waits,
           s.started_with, s.restricted_to_enrolment, s.ended_at IS NULL AND s.expires_at > now() AS is_live,
           u.display_name, u.email
    FROM app.browsers AS b
    JOIN app.users AS u ON u.user_id = b.user_id AND u.deactivated_at IS NULL
    LEFT JOIN app.sessions AS s ON s.session_id = b.session_id
    WHERE b.token_digest = $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. A `restricted` one may enrol and sign out, nothing else."""

    session_id: int
    user_id: int
    started_with: str
    restricted: bool
    name: str
    email: str | None
    ticket: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """At most one of the three is there: a live session, somebody who owes a code, somebody whose session was ended."""

    session: Session | None = None
    waiting_user: int | None = None
    ended_user: int | None = None


class Browsers:
    """Puts a `Browser` into every request's scope. Stands in front of the gate, which asks for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who it is."""
        if scope["type"] == "http":
            scope["browser"] = await find(HTTPConnection(scope))
        await self._app(scope, receive, send)


async def find(connection: HTTPConnection) -> Browser:
    """Return whose browser this is, from the database, each time."""
    token = connection.cookies.get(COOKIE)
    row = await connection.app.state.pool.fetchrow(FIND, digest(token)) if token else None
    if row is None:
        return Browser()
    if row["session_id"] is None:
        return Browser(waiting_user=row["user_id"] if row["waits"] else None)
    return Browser(session=_session(row)) if row["is_live"] else Browser(ended_user=row["user_id"])


async def remember(db: asyncpg.Connection, user_id: int, session_id: int | None, *, ticket: str | None = None) -> str:
    """Write a new browser down and return its token, for `give`."""
    token = secrets.token_urlsafe(32)
    await db.execute(
        "INSERT INTO app.browsers (token_digest, user_id, session_id, waits_until, ticket) VALUES ($1, $2, $3, now() + $4, $5)",
        *(digest(token), user_id, session_id, WAITS_FOR, ticket),
    )
    return token


async def forget(request: Request) -> None:
    """Forget this browser's cookie: whoever finds it later gets nothing."""
    if token := request.cookies.get(COOKIE):
        await request.app.state.pool.execute("DELETE FROM app.browsers WHERE token_digest = $1", digest(token))


def give(response: Response, token: str, *, secure: bool) -> Response:
    """Put the token into a cookie that scripts can't read and other sites' forms don't send."""
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure, path="/")
    return response


def digest(token: str) -> bytes:
    """Return what is kept of a random token."""
    return hashlib.sha256(token.encode()).digest()


def _session(row: Any) -> Session:
    return Session(
        session_id=row["session_id"],
        user_id=row["user_id"],
        started_with=row["started_with"],
        restricted=row["restricted_to_enrolment"],
        name=row["display_name"] or row["email"] or "you",
        email=row["email"],
        ticket=row["ticket"],
    )
