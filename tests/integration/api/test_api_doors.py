"""Who gets in: every endpoint behind its token, no cookie, no page elsewhere; and whatever is wrong is a problem in words."""

import json
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from jobs.domain.permissions import Role
from jobs.store import tokens
from jobs.store.tokens import digest
from tests.integration.api.program import ORDER, Program, problem
from workers.api.calls import Endpoint
from workers.api.table import ENDPOINTS, ORDERS

EVERY_ENDPOINT = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[one.name for one in ENDPOINTS])
EVERY_ORDER = pytest.mark.parametrize("endpoint", ORDERS, ids=[one.name for one in ORDERS])


def address(endpoint: Endpoint) -> str:
    return "/api/v1" + endpoint.path.format(run_id=1, batch_id=1, user_id=1)


async def call(program: Program, endpoint: Endpoint, **options: object) -> httpx.Response:
    headers = program.headers() | {"content-type": "application/json"}
    return await program.http.request(endpoint.method, address(endpoint), headers=headers, **options)  # type: ignore[arg-type]


@EVERY_ENDPOINT
async def test_without_a_token_nobody_gets_in(endpoint: Endpoint, nobody: Program) -> None:
    refused = await call(nobody, endpoint)
    assert problem(refused) == (401, "no_token")
    assert refused.headers["www-authenticate"].startswith("Bearer")


@EVERY_ORDER
async def test_a_viewer_orders_nothing(endpoint: Endpoint, watcher: Program, db: asyncpg.Connection) -> None:
    assert problem(await call(watcher, endpoint, content=b'{"reason": "x"}')) == (403, "viewer")
    assert await db.fetchval("SELECT count(*) FROM portcullis.action WHERE via = 'api'") == 0


@pytest.mark.parametrize("scheme", ["Basic {}", "Bearer", "Bearer {}x", "{}", "Bearer pct_", "bearer\t{}", "Bearer {} {}"])
async def test_what_is_no_token_is_none(scheme: str, bot: Program) -> None:
    headers = {"authorization": scheme.format(bot.token, bot.token)}
    assert problem(await bot.http.get("/api/v1/queues", headers=headers)) == (401, "no_token")


async def test_a_token_is_good_until_it_is_revoked_or_expires(bot: Program, db: asyncpg.Connection) -> None:
    assert (await bot.get("/queues")).status_code == 200
    used_at = await db.fetchval("SELECT used_at FROM portcullis.api_token WHERE name = 'bot'")
    assert used_at is not None
    await bot.get("/queues")
    assert await db.fetchval("SELECT used_at FROM portcullis.api_token WHERE name = 'bot'") == used_at, "not at every request"
    await tokens.revoke(db, ORDER, "bot")
    assert problem(await bot.get("/queues")) == (401, "no_token")
    brief = await tokens.add(db, ORDER, "bot", Role.VIEWER, expires_at=datetime.now(UTC) + timedelta(hours=1))
    program = Program(http=bot.http, token=brief)
    assert (await program.get("/queues")).status_code == 200
    await db.execute("UPDATE portcullis.api_token SET expires_at = now() WHERE revoked_at IS NULL")
    assert problem(await program.get("/queues")) == (401, "no_token")


async def test_of_a_token_only_a_digest_is_kept(bot: Program, db: asyncpg.Connection) -> None:
    assert bot.token is not None
    row = await db.fetchrow("SELECT * FROM portcullis.api_token WHERE name = 'bot'")
    assert row["digest"] == digest(bot.token)
    dumped = json.dumps([dict(one) for one in await db.fetch("SELECT * FROM portcullis.api_token")], default=str)
    dumped += json.dumps([dict(one) for one in await db.fetch("SELECT * FROM portcullis.action")], default=str)
    assert bot.token not in dumped
    assert bot.token.removeprefix("pct_") not in dumped


async def test_a_cookie_of_the_console_opens_nothing_here(nobody: Program) -> None:
    for name in ("__Host-portcullis", "portcullis"):
        nobody.http.cookies.set(name, "x" * 43)
    assert problem(await nobody.get("/queues")) == (401, "no_token")


async def test_an_order_needs_no_origin_but_the_right_host(bot: Program) -> None:
    body = {"target": {"scope": "queue", "queue": "notify"}}
    assert (await bot.post("/pause", body)).status_code == 200
    headers = bot.headers() | {"host": "evil.example"}
    refused = await bot.http.get("/api/v1/queues", headers=headers)
    assert refused.status_code == 421


# Whatever is wrong is said in words, and nothing of it is done.

WRONG_BODIES = {
    "no JSON": (b"{", 400, "not_json"),
    "no UTF-8": (b'{"reason": "\xff"}', 400, "not_json"),
    "a name twice": (b'{"reason": "a", "reason": "b"}', 400, "not_json"),
    "not a number": (b'{"reason": "a", "amount": NaN}', 400, "not_json"),
    "too deep": (b"[" * 50_000, 400, "not_json"),
    "too large": (b'"' + b"x" * 70_000 + b'"', 413, "too_large"),
    "no object": (b"[]", 422, "malformed"),
    "no reason": (b'{"target": {"scope": "everything"}}', 422, "malformed"),
    "a blank reason": (b'{"reason": "  ", "target": {"scope": "everything"}}', 422, "malformed"),
    "an unknown word": (b'{"reason": "x", "target": {"scope": "everything"}, "force": true}', 422, "malformed"),
    "a number as text": (b'{"reason": "x", "target": {"scope": "run", "run_id": "1"}}', 422, "malformed"),
    "half of a pair": (rb'{"reason": "\ud800", "target": {"scope": "everything"}}', 422, "malformed"),
    "a null byte": (rb'{"reason": "a\u0000b", "target": {"scope": "everything"}}', 422, "malformed"),
    "too large a number": (b'{"reason": "x", "target": {"scope": "run", "run_id": 9223372036854775808}}', 422, "malformed"),
}


@pytest.mark.parametrize("wrong", WRONG_BODIES)
async def test_a_wrong_body_is_a_problem_and_nothing_is_done(wrong: str, bot: Program, db: asyncpg.Connection) -> None:
    content, status, name = WRONG_BODIES[wrong]
    headers = bot.headers() | {"content-type": "application/json"}
    assert problem(await bot.http.post("/api/v1/pause", headers=headers, content=content)) == (status, name)
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0


async def test_a_body_that_is_no_json_by_its_own_word_is_refused(bot: Program) -> None:
    refused = await bot.http.post("/api/v1/pause", headers=bot.headers(), data={"reason": "x"})
    assert problem(refused) == (415, "not_json")


@pytest.mark.parametrize(
    "path",
    [
        *("/runs?limit=0", "/runs?limit=201", "/runs?limit=1_0", "/runs?limit=1.0", "/runs?limit=", "/runs?limit=1&limit=2"),
        *("/runs?before=0", "/runs?before=9223372036854775808", "/runs?state=over", "/runs?nonsense=1", "/queues?nonsense=1"),
        *("/runs/0", "/runs/x", "/runs/1.0", "/runs/9223372036854775808", "/runs/%201", "/dead/batches/-1", "/members/a%00b"),
    ],
)
async def test_a_wrong_address_is_a_problem_that_names_the_place(path: str, watcher: Program) -> None:
    refused = await watcher.get(path)
    assert problem(refused) == (422, "malformed")
    assert all(fault["where"].partition(".")[0] in ("query", "path") for fault in refused.json()["faults"])


async def test_what_there_is_not_is_a_problem_too(watcher: Program) -> None:
    assert problem(await watcher.get("/nonsense")) == (404, "no_endpoint")
    assert problem(await watcher.get("/members/a%0Ab")) == (404, "no_endpoint")
    deleted = await watcher.http.delete("/api/v1/runs", headers=watcher.headers())
    assert problem(deleted) == (405, "method")
    assert set(deleted.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_everything_that_is_wrong_is_said_at_once_and_not_repeated(bot: Program) -> None:
    refused = await bot.post("/limits/set", {"reason": "", "scope": "moon", "amount": -1, "secret": "hunter2"})
    assert {fault["where"] for fault in refused.json()["faults"]} == {"body.reason", "body.scope", "body.amount", "body.secret"}
    assert "hunter2" not in refused.text


async def test_a_database_that_is_away_is_said_to_be(bot: Program, app: Starlette) -> None:
    pool, app.state.pool = app.state.pool, await asyncpg.create_pool("postgresql://nobody@127.0.0.1:9/gone", min_size=0)
    away = await bot.get("/queues")
    assert problem(away) == (503, "database_away")
    assert away.headers["retry-after"] == "5"
    await app.state.pool.close()
    app.state.pool = pool


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing(bot: Program, db: asyncpg.Connection) -> None:
    await db.execute("ALTER TABLE portcullis.pause RENAME COLUMN reason TO mislaid")
    failed = await bot.get("/pauses")
    assert problem(failed) == (500, "bug")
    assert "mislaid" not in failed.text
    assert "column" not in failed.text
