"""The metrics server with its own role's rights, the API with the console's."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jobs.domain.permissions import Role as TokenRole
from jobs.store import tokens
from jobs.store.database import open_pool
from jobs.store.roles import Role
from jobs.store.steering import Order
from tests.builders import an_organization
from tests.conftest import Databases
from tests.metrics_parts import an_exporter
from tests.pipeline.world import World, a_world
from tests.role_parts import a_database_with_roles, as_role
from workers.api import api


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with a_database_with_roles(databases) as url:
        yield url


@pytest.fixture
async def world(url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(url, redis_url, roles=True) as world:
        yield world


async def test_metrics_are_served_by_a_role_that_reads_nothing_about_members(world: World, url: str, redis_url: str) -> None:
    pool = await open_pool(as_role(url, Role.METRICS), size=1)
    async with an_exporter(world.pool, redis_url, asks=pool) as exporter:
        await exporter.announce("enforce", "notify")
        await world.conductor.look()
        await world.run_to_end(await world.require(await an_organization(world.db, members=2)))
        scraped = await exporter.scrape()
        assert (scraped["portcullis_database_up"], scraped["portcullis_gate_up"]) == (1, 1)
        assert scraped["portcullis_gate_probe_seconds"] > 0
        assert scraped["portcullis_suppressed_addresses"] == 0
        assert await exporter.ready() == (200, [])
    for table in ("suppression", "delivery"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch(f"SELECT * FROM portcullis.{table}")
    await pool.close()


async def test_the_api_needs_no_more_than_the_console(world: World, url: str) -> None:
    run = await world.require(await an_organization(world.db, members=2))
    pool = await open_pool(as_role(url, Role.CONSOLE), size=2)
    token = await tokens.add(pool, Order(actor="ops", via="cli", reason="x"), "bot", TokenRole.OPERATOR)
    app = Starlette(routes=[Mount("/api/v1", api(lambda: pool))])
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api/api/v1", headers=headers) as http:
        for path in ("/runs", f"/runs/{run}", "/queues", "/dead", "/workers", "/pauses", "/limits", "/breakers", "/actions", "/members/1"):
            assert (await http.get(path)).status_code == 200, path
        limit: dict[str, object] = {"scope": "relay", "subject": "mail:25"}
        orders: dict[str, dict[str, object]] = {
            "/pause": {"target": {"scope": "run", "run_id": run}},
            "/resume": {"target": {"scope": "run", "run_id": run}},
            "/limits/set": {**limit, "amount": 1},
            "/limits/clear": limit,
            f"/runs/{run}/cancel": {},
        }
        for path, body in orders.items():
            answer = await http.post(path, json={"reason": "on call", **body})
            assert answer.status_code == 200, (path, answer.text)
    await pool.close()
