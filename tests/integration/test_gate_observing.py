"""Whoever wants to know how long the gate takes is told of each answer, and can't change one."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from jobs.gate import Visitor
from tests.builders import Organization, an_organization
from tests.integration.switch_parts import require
from tests.integration.test_gate_middleware import AsgiServer, Server, WsgiServer

Told = list[tuple[float, str]]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    yield pool
    await pool.close()


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture(params=["asgi", "wsgi"])
async def server(request: pytest.FixtureRequest, pool: asyncpg.Pool, database_url: str, told: Told) -> AsyncIterator[Server]:
    def observe(seconds: float, answer: str) -> None:
        told.append((seconds, answer))

    if request.param == "asgi":
        yield AsgiServer(pool, observe=observe)
    else:
        served = WsgiServer(database_url, observe=observe)
        yield served
        served.connection.close()


@pytest.fixture
async def organization(db: asyncpg.Connection) -> Organization:
    return await an_organization(db, members=1)


def visitor(organization: Organization) -> Visitor:
    return Visitor(user_id=organization.members[0].id, organization_id=organization.id, started_with="password")


async def test_each_answer_is_told_with_its_time(server: Server, db: asyncpg.Connection, organization: Organization, told: Told) -> None:
    await server.get("/board", visitor(organization))
    await require(db, organization.id, organization.admin.id)
    await server.get("/board", visitor(organization))
    await db.execute("DROP SCHEMA portcullis CASCADE")
    assert (await server.get("/board", visitor(organization))).status == 503
    assert [answer for _, answer in told] == ["none", "second_factor_setup", "unanswered"]
    assert all(0 < seconds < 5 for seconds, _ in told)


async def test_what_is_not_asked_is_not_told(server: Server, organization: Organization, told: Told) -> None:
    await server.get("/logout", visitor(organization))
    await server.get("/sign-in", None)
    assert told == []


async def test_an_observer_that_raises_changes_no_answer(
    db: asyncpg.Connection, pool: asyncpg.Pool, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(_: float, __: str) -> None:
        raise OSError("the disk is full")

    server = AsgiServer(pool, observe=observe)
    assert (await server.get("/board", visitor(organization))).body == b"served"
    await require(db, organization.id, organization.admin.id)
    assert (await server.get("/board", visitor(organization))).status == 303
    assert "observer failed" in caplog.text


async def test_an_answer_that_comes_too_late_is_none(
    db: asyncpg.Connection, pool: asyncpg.Pool, organization: Organization, told: Told
) -> None:
    await require(db, organization.id, organization.admin.id)
    server = AsgiServer(pool, seconds=0.3, observe=lambda seconds, answer: told.append((seconds, answer)))
    async with db.transaction():
        await db.execute("LOCK portcullis.policy IN ACCESS EXCLUSIVE MODE")
        assert (await server.get("/board", visitor(organization))).status == 503
    [(seconds, answer)] = told
    assert answer == "unanswered"
    assert 0.2 < seconds < 5
    await asyncio.sleep(0)
