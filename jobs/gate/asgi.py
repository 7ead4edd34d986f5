"""The gate as an ASGI middleware, over an asyncpg pool. One query a request that comes from a session; no decision is kept.

Put it behind what loads the session, and in front of everything that serves. A websocket is asked about when it opens; close it from
your side when you end its session.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from jobs import client
from jobs.client import Requirement
from jobs.gate import replies
from jobs.gate.observing import Observe, observed
from jobs.gate.open_paths import OpenPaths
from jobs.gate.replies import Reply
from jobs.gate.visitor import Visitor

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Identify: TypeAlias = Callable[[Scope], Visitor | Awaitable[Visitor | None] | None]

POLICY_VIOLATION = 1008  # RFC 6455 7.4.1

log = logging.getLogger(__name__)


class AsgiGate:
    """Serves `app` to whoever the gate lets through.

    `pool`: an asyncpg pool, or a function that returns one when it is asked (for pools that are opened at start-up). `identify`: whose
    session a scope belongs to, `None`: nobody's, which is let through, as your sign-in page is. `set_up_at`: where a second factor is
    set up. `allow`: what else is served meanwhile, such as logging out. `seconds`: how long an answer may take.
    `observe`: is told of each answer how long it took (`jobs.gate.observing`).

    Raises:
        ValueError: A path is not fit.
    """

    def __init__(
        self,
        app: App,
        *,
        pool: Any,
        identify: Identify,
        set_up_at: str,
        allow: Iterable[str] = ("/logout",),
        seconds: float = 2.0,
        observe: Observe | None = None,
    ) -> None:
        self._app, self._pool, self._identify = app, pool, identify
        self._set_up_at, self._open, self._seconds, self._observe = set_up_at, OpenPaths(set_up_at, allow), seconds, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one connection through, or answer it."""
        reply = None if scope["type"] == "lifespan" else await self._stop(scope)
        if reply is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reply.phrase})
        else:
            await _answer(reply, scope, send)

    async def _stop(self, scope: Scope) -> Reply | None:
        """Return what a request is answered instead of being let through."""
        if _path(scope) in self._open:
            return None
        try:
            async with asyncio.timeout(self._seconds):
                requirement = await self._ask(scope)
        except Exception:
            log.exception("The gate could not be asked; the request is not served")
            return replies.closed()
        if requirement is Requirement.NONE:
            return None
        headers = {name.lower(): value for name, value in scope.get("headers", ())}
        accept = headers.get(b"accept", b"").decode("latin-1")
        location = scope.get("root_path", "") + self._set_up_at
        return replies.set_up(location, method=scope.get("method", ""), accept=accept)

    async def _ask(self, scope: Scope) -> Requirement:
        found = self._identify(scope)
        visitor = await found if inspect.isawaitable(found) else found
        if visitor is None:
            return Requirement.NONE
        pool = self._pool() if callable(self._pool) else self._pool
        with observed(self._observe) as answer:
            async with pool.acquire() as db:
                answer.requirement = await client.gate(db, visitor.user_id, visitor.organization_id, started_with=visitor.started_with)
            return answer.requirement


def _path(scope: Scope) -> str:
    """Return the path within the app: without what it is mounted at."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _answer(reply: Reply, scope: Scope, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
