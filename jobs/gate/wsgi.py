"""The gate as a WSGI middleware, over any driver for PostgreSQL with `%s` parameters (psycopg). One query a request from a session.

Put it behind what loads the session, and in front of everything that serves. Give the connections a `statement_timeout`: a question that
is not answered in time is answered with a 503.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from typing import Any, TypeAlias

from jobs.client import Requirement
from jobs.gate import replies
from jobs.gate.observing import Observe, observed
from jobs.gate.open_paths import OpenPaths
from jobs.gate.replies import Reply
from jobs.gate.visitor import Visitor

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

QUESTION = "SELECT portcullis.gate(%s, %s, %s)"

log = logging.getLogger(__name__)


class WsgiGate:
    """Serves `app` to whoever the gate lets through.

    `connect`: returns a context manager that gives a connection, such as a pool's `connection`. `identify`: whose session an environ
    belongs to, `None`: nobody's, which is let through, as your sign-in page is. `set_up_at`: where a second factor is set up. `allow`:
    what else is served meanwhile, such as logging out. `observe`: is told of each answer how long it took (`jobs.gate.observing`).

    Raises:
        ValueError: A path is not fit.
    """

    def __init__(
        self,
        app: App,
        *,
        connect: Callable[[], AbstractContextManager[Any]],
        identify: Callable[[Environ], Visitor | None],
        set_up_at: str,
        allow: Iterable[str] = ("/logout",),
        observe: Observe | None = None,
    ) -> None:
        self._app, self._connect, self._identify = app, connect, identify
        self._set_up_at, self._open, self._observe = set_up_at, OpenPaths(set_up_at, allow), observe

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let one request through, or answer it."""
        reply = self._stop(environ)
        if reply is None:
            return self._app(environ, start_response)
        start_response(f"{reply.status} {reply.phrase}", list(reply.headers))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    def _stop(self, environ: Environ) -> Reply | None:
        """Return what a request is answered instead of being let through."""
        if _path(environ) in self._open:
            return None
        try:
            requirement = self._ask(environ)
        except Exception:
            log.exception("The gate could not be asked; the request is not served")
            return replies.closed()
        if requirement is Requirement.NONE:
            return None
        location = environ.get("SCRIPT_NAME", "") + self._set_up_at
        return replies.set_up(location, method=environ["REQUEST_METHOD"], accept=environ.get("HTTP_ACCEPT", ""))

    def _ask(self, environ: Environ) -> Requirement:
        visitor = self._identify(environ)
        if visitor is None:
            return Requirement.NONE
        with observed(self._observe) as answer:
            with self._connect() as db, closing(db.cursor()) as cursor:
                cursor.execute(QUESTION, (visitor.user_id, visitor.organization_id, visitor.started_with))
                answer.requirement = Requirement(cursor.fetchone()[0])
            return answer.requirement


def _path(environ: Environ) -> str:
    """Return the path within the app, decoded (PEP 3333: bytes dressed up as latin-1). What is no UTF-8 is nobody's open path."""
    return str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
