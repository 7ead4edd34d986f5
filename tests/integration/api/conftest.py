"""The API as the console serves it, over a real PostgreSQL and Valkey, and programs with tokens."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from jobs.domain.permissions import Role
from jobs.store import tokens
from tests.integration.api.program import ORDER, Program
from tests.integration.console.browser import ORIGIN, serving, settings


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
    return Program(http=http, token=await tokens.add(db, ORDER, "bot", Role.OPERATOR))


@pytest.fixture
async def watcher(http: httpx.AsyncClient, db: asyncpg.Connection) -> Program:
    """A program that may look."""
    return Program(http=http, token=await tokens.add(db, ORDER, "watcher", Role.VIEWER))
