"""The gate in front of a tiny app, as ASGI and as WSGI: who is served what, with one query a request.

And where nobody can be asked, nothing.
"""

import asyncio
import io
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import asyncpg
import psycopg
import pytest

from jobs.gate import AsgiGate, Visitor, WsgiGate
from jobs.gate.open_paths import OpenPaths
from tests.builders import Organization, a_member, an_organization
from tests.integration.switch_parts import EVERY_ID_TYPE, lift, require

BROWSER = "text/html,application/xhtml+xml;q=0.9"
SET_UP = "/settings/two-factor"

Request = Callable[..., Any]


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Server(ABC):
    """One door for both: `await server.get("/path", visitor)`."""

    queries: list[str]

    @abstractmethod
    async def get(self, path: str, visitor: Visitor | None, *, method: str = "GET", accept: str = BROWSER, root: str = "") -> Response: ...


class AsgiServer(Server):
    def __init__(self, pool: asyncpg.Pool, **options: Any) -> None:
        self.queries = []
        self.app = AsgiGate(
            self.serve, **{"pool": lambda: pool, "identify": lambda scope: scope["visitor"], "set_up_at": SET_UP, **options}
        )

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"served"})

    async def connect(self, scope: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(event: Any) -> None:
            sent.append(event)

        async def receive() -> Any:
            raise AssertionError("the gate reads nothing")

        await self.app(scope, receive, send)
        return sent

    async def get(self, path: str, visitor: Visitor | None, *, method: str = "GET", accept: str = BROWSER, root: str = "") -> Response:
        scope = {"type": "http", "method": method, "path": root + path, "root_path": root, "visitor": visitor}
        start, body = await self.connect({**scope, "headers": [(b"accept", accept.encode())]})
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Response(status=start["status"], headers=headers, body=body["body"])


class WsgiServer(Server):
    def __init__(self, url: str, **options: Any) -> None:
        self.queries = []
        self.connection = psycopg.connect(url, autocommit=True)

        @contextmanager
        def connect() -> Any:
            yield self.connection

        how = {"connect": connect, "identify": lambda environ: environ["app.visitor"], "set_up_at": SET_UP, **options}
        self.app = validator(WsgiGate(self.serve, **how))

    def serve(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"served"]

    async def get(self, path: str, visitor: Visitor | None, *, method: str = "GET", accept: str = BROWSER, root: str = "") -> Response:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path.encode().decode("latin-1"), "SCRIPT_NAME": root}
        environ |= {"HTTP_ACCEPT": accept, "app.visitor": visitor, "wsgi.input": io.BytesIO(), "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        response = Response()

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            response.status = int(status.split(maxsplit=1)[0])
            response.headers = {name.lower(): value for name, value in headers}

        chunks = self.app(environ, start_response)
        response.body = b"".join(chunks)
        chunks.close()  # type: ignore[attr-defined]  # what the validator returns
        return response


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=3)
    yield pool
    await pool.close()


@pytest.fixture(params=["asgi", "wsgi"])
async def server(request: pytest.FixtureRequest, pool: asyncpg.Pool, database_url: str) -> AsyncIterator[Server]:
    if request.param == "asgi":
        yield AsgiServer(pool)
    else:
        served = WsgiServer(database_url)
        yield served
        served.connection.close()


@pytest.fixture
async def organization(db: asyncpg.Connection) -> Organization:
    return await an_organization(db, members=1)


def visitor(organization: Organization, started_with: str | None = "password", **who: Any) -> Visitor:
    return Visitor(**{"user_id": organization.members[0].id, "organization_id": organization.id, "started_with": started_with, **who})


@EVERY_ID_TYPE
async def test_from_the_commit_of_the_switch_on_an_unprotected_session_is_led_to_the_set_up(
    server: Server, db: asyncpg.Connection, organization: Organization
) -> None:
    who = visitor(organization)
    assert (await server.get("/board", who)).body == b"served"
    await require(db, organization.id, organization.admin.id)
    led = await server.get("/board", who)
    assert (led.status, led.headers["location"], led.headers["cache-control"], led.body) == (303, SET_UP, "no-store", b"")
    assert (await server.get(SET_UP, who)).body == b"served"
    await db.execute("SELECT app.confirm_second_factor($1)", who.user_id)
    assert (await server.get("/board", who)).body == b"served", "no decision is kept"
    await db.execute("SELECT app.remove_second_factor($1)", who.user_id)
    assert (await server.get("/board", who)).status == 303, "nor the other one"
    await lift(db, organization.id, organization.admin.id)
    assert (await server.get("/board", who)).body == b"served"


async def test_programs_are_told_and_browsers_are_led(server: Server, db: asyncpg.Connection, organization: Organization) -> None:
    await require(db, organization.id, organization.admin.id)
    for method, accept in (("GET", "application/json"), ("POST", BROWSER), ("DELETE", "*/*"), ("PUT", ""), ("POST", "application/json")):
        told = await server.get("/api", visitor(organization, "token"), method=method, accept=accept)
        assert (told.status, told.headers["content-type"]) == (403, "application/json; charset=utf-8")
        assert json.loads(told.body) == {"error": "second_factor_setup", "set_up_at": SET_UP}
        assert told.headers["content-length"] == str(len(told.body))
        assert told.headers["cache-control"] == "no-store"
    head = await server.get("/board", visitor(organization), method="HEAD")
    assert (head.status, head.body) == (303, b"")


async def test_an_app_that_is_mounted_somewhere_is_led_within_it(
    server: Server, db: asyncpg.Connection, organization: Organization
) -> None:
    await require(db, organization.id, organization.admin.id)
    led = await server.get("/board", visitor(organization), root="/kestrel")
    assert led.headers["location"] == "/kestrel/settings/two-factor"
    assert (await server.get(SET_UP, visitor(organization), root="/kestrel")).body == b"served"
    assert (await server.get("/logout", visitor(organization), root="/kestrel")).body == b"served"


async def test_outside_of_enrolment_and_logout_nothing_is_served(
    server: Server, db: asyncpg.Connection, organization: Organization
) -> None:
    """However the path is dressed up: two readers of it must not see two things."""
    await require(db, organization.id, organization.admin.id)
    for path in ("/logout", SET_UP, f"{SET_UP}/", f"{SET_UP}/confirm"):
        assert (await server.get(path, visitor(organization))).body == b"served", path
    dressed_up = [
        *[
            "/",
            "",
            "/logout/",
            "/logout/../board",
            "/logout/x",
            "/LOGOUT",
            "/logoutx",
            "//logout",
            "/logout//",
            "/logout;x=1",
            "/logout%2f",
        ],
        *[f"{SET_UP}/../../board", f"{SET_UP}/..", f"{SET_UP}/./..", f"{SET_UP}//", f"{SET_UP}\\..\\board", f"{SET_UP}/%2e%2e/board"],
        *[f"{SET_UP}x", f"{SET_UP}/\x00", f"{SET_UP};/../board", "/settings", "/board/logout", f"/board{SET_UP}", f"{SET_UP}/\n"],
    ]
    for path in dressed_up:
        assert (await server.get(path, visitor(organization))).status == 303, repr(path)


async def test_whoever_is_nobody_is_let_through_without_a_question(server: Server, db: asyncpg.Connection) -> None:
    await db.execute("DROP SCHEMA portcullis CASCADE")
    assert (await server.get("/sign-in", None)).body == b"served"


async def test_an_sso_session_and_an_organization_that_requires_nothing_are_served(
    server: Server, db: asyncpg.Connection, organization: Organization
) -> None:
    await require(db, organization.id, organization.admin.id)
    other = await an_organization(db, name="Other")
    who = organization.members[0].id
    await db.execute("SELECT app.join_organization($1, $2)", other.id, who)
    assert (await server.get("/board", visitor(organization, "sso"))).body == b"served"
    assert (await server.get("/board", visitor(organization, organization_id=other.id))).body == b"served"
    assert (await server.get("/board", visitor(organization, organization_id=None))).status == 303, "for all of theirs the strictest wins"
    assert (await server.get("/board", visitor(organization, None))).status == 303, "an unknown origin counts as a password"


@pytest.mark.parametrize("broken", ["the functions are gone", "the view is gone", "an unheard-of answer", "the id is malformed"])
async def test_where_nobody_can_be_asked_nothing_is_served(
    server: Server, db: asyncpg.Connection, organization: Organization, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    who = visitor(organization)
    await require(db, organization.id, organization.admin.id)
    if broken == "the functions are gone":
        await db.execute("DROP SCHEMA portcullis CASCADE")
    elif broken == "the view is gone":
        await db.execute("DROP VIEW directory.member")
    elif broken == "an unheard-of answer":
        await db.execute(
            "CREATE OR REPLACE FUNCTION portcullis.gate(user_id portcullis.member_id, organization_id portcullis.organization_id,"
            " started_with text) RETURNS text LANGUAGE sql AS $$ SELECT 'maybe' $$"
        )
    else:
        who = visitor(organization, user_id=uuid4())
    answer = await server.get("/board", who)
    assert (answer.status, answer.headers["retry-after"], answer.headers["cache-control"]) == (503, "2", "no-store")
    assert b"served" not in answer.body
    assert "The gate could not be asked" in caplog.text
    assert (await server.get("/logout", who)).body == b"served", "logging out needs nobody to be asked"


async def test_a_session_that_can_not_be_read_is_not_served(pool: asyncpg.Pool, database_url: str) -> None:
    def fails(_: Any) -> Visitor | None:
        raise KeyError("session")

    with_wsgi = WsgiServer(database_url, identify=fails)
    for server in (AsgiServer(pool, identify=fails), with_wsgi):
        assert (await server.get("/board", None)).status == 503
    with_wsgi.connection.close()


async def test_a_request_is_one_question_and_an_open_path_none(pool: asyncpg.Pool, organization: Organization) -> None:
    asked: list[str] = []
    async with pool.acquire() as connection:
        server = AsgiServer(OneConnection(connection))
        await server.get("/board", visitor(organization))  # once in the life of a connection asyncpg asks what types there are
        connection.add_query_logger(lambda record: asked.append(record.query))
        for path in ("/board", "/board", "/logout", SET_UP):
            await server.get(path, visitor(organization))
        await server.get("/board", None)
        await asyncio.sleep(0)
        assert asked == ["SELECT portcullis.gate($1, $2, $3)"] * 2


class OneConnection:
    """A pool of one that gives its connection back as it is."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    def acquire(self) -> Any:
        @contextmanager
        def acquired() -> Any:
            yield self.connection

        class Acquired:
            def __init__(self) -> None:
                self.context = acquired()

            async def __aenter__(self) -> Any:
                return self.context.__enter__()

            async def __aexit__(self, *error: object) -> None:
                self.context.__exit__(None, None, None)

        return Acquired()


# What only ASGI has


async def test_a_websocket_is_refused_before_it_opens(pool: asyncpg.Pool, db: asyncpg.Connection, organization: Organization) -> None:
    server = AsgiServer(pool)
    scope = {"type": "websocket", "path": "/live", "headers": [], "visitor": visitor(organization)}
    assert [event["type"] for event in await server.connect(scope)] == ["websocket.accept"]
    await require(db, organization.id, organization.admin.id)
    assert await server.connect(scope) == [{"type": "websocket.close", "code": 1008, "reason": "Forbidden"}]


async def test_start_up_and_shut_down_pass_without_a_question(pool: asyncpg.Pool) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    def fails(_: Any) -> Visitor | None:
        raise AssertionError

    await AsgiGate(app, pool=pool, identify=fails, set_up_at=SET_UP)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # unused
    assert seen == ["lifespan"]


async def test_an_answer_that_takes_too_long_is_none(pool: asyncpg.Pool, db: asyncpg.Connection, organization: Organization) -> None:
    """PostgreSQL holds the question up behind a lock on the policy table, as a careless migration would."""
    server = AsgiServer(pool, seconds=0.3)
    async with db.transaction():
        await db.execute("LOCK TABLE portcullis.policy IN ACCESS EXCLUSIVE MODE")
        assert (await server.get("/board", visitor(organization))).status == 503
    assert (await AsgiServer(pool).get("/board", visitor(organization))).body == b"served"


async def test_whose_session_it_is_may_be_found_out_by_a_coroutine(pool: asyncpg.Pool, organization: Organization) -> None:
    async def identify(scope: Any) -> Visitor | None:
        await asyncio.sleep(0)
        return visitor(organization)

    assert (await AsgiServer(pool, identify=identify).get("/board", None)).body == b"served"


async def test_requests_at_once_are_asked_about_each(pool: asyncpg.Pool, db: asyncpg.Connection, organization: Organization) -> None:
    await require(db, organization.id, organization.admin.id)
    server = AsgiServer(pool)
    people = [visitor(organization), Visitor(user_id=organization.admin.id, organization_id=organization.id, started_with="password")] * 20
    answers = await asyncio.gather(*(server.get("/board", who) for who in people))
    assert [answer.status for answer in answers] == [303, 200] * 20


async def test_an_inactive_members_request_is_the_apps_to_refuse(
    pool: asyncpg.Pool, db: asyncpg.Connection, organization: Organization
) -> None:
    gone = await a_member(db, organization.id, active=False)
    await require(db, organization.id, organization.admin.id)
    assert (await AsgiServer(pool).get("/board", visitor(organization, user_id=gone.id))).body == b"served"


# How it is set up


@pytest.mark.parametrize("path", ["/", "", "logout", "//", "/a//b", "/a/../b", "/a;b", "/%2f", "https://elsewhere.example/x"])
def test_a_path_that_would_open_everything_or_can_be_read_in_two_ways_is_refused_at_start(path: str) -> None:
    for given in ((SET_UP, [path]), (path, [])):
        with pytest.raises(ValueError, match="can't be an open path"):
            OpenPaths(*given)


def test_a_path_that_ends_in_a_slash_opens_what_lies_below_it() -> None:
    paths = OpenPaths(SET_UP, ["/static/", "/logout"])
    assert "/static/site.css" in paths
    assert "/static" not in paths
    assert "/logout/all" not in paths
