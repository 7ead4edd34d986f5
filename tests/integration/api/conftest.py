"""The API as the console serves it, over a real PostgreSQL and Valkey, and programs with tokens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from jobs.store import tokens
from jobs.store.steering import Order
from jobs.store.tokens import TokenRole
from tests.integration.console.browser import ORIGIN, serving, settings

ORDER = Order(actor="the test", via="cli", reason="to be tested")


@dataclass(kw_only=True)
class Program:
    """A program with a token, or without."""

    http: httpx.AsyncClient
    token: str | None = None

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(f"/api/v1{path}", headers=self.headers(), **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.post(f"/api/v1{path}", headers=self.headers(), json={"reason": "on call"} | (body or {}), **options)

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@pytest.fixture
async def app(database_url: str, redis_url: str) -> AsyncIterator[Starlette]:
    async with serving(settings(database_url, redis_url)) as app:
        yield app


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield http


@pytest.fixture
def nobody(http: httpx.AsyncClient) -> Program:
    return Program(http=http)


@pytest.fixture
async def bot(http: httpx.AsyncClient, db: asyncpg.Connection) -> Program:
    """A program that may order."""
    return Program(http=http, token=await tokens.add(db, ORDER, "bot", TokenRole.OPERATOR))


@pytest.fixture
async def watcher(http: httpx.AsyncClient, db: asyncpg.Connection) -> Program:
    """A program that may look."""
    return Program(http=http, token=await tokens.add(db, ORDER, "watcher", TokenRole.VIEWER))


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return status and name of a problem that is one (RFC 9457), and that says what it is."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    told = response.json()
    assert told["status"] == response.status_code
    assert told["title"]
    assert told["detail"]
    return response.status_code, told["name"]
