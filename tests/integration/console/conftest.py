"""The console over a real PostgreSQL and Valkey, and people in front of it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from starlette.applications import Starlette

from jobs.operators import Role
from tests.integration.console.browser import Visitor, serving, set_up, settings, stranger


@pytest.fixture
async def app(database_url: str, redis_url: str) -> AsyncIterator[Starlette]:
    async with serving(settings(database_url, redis_url)) as app:
        yield app


@pytest.fixture
async def nobody(app: Starlette) -> AsyncIterator[Visitor]:
    async with stranger(app) as visitor:
        yield visitor


@pytest.fixture
async def mara(app: Starlette, db: asyncpg.Connection) -> AsyncIterator[Visitor]:
    """An operator who is signed in."""
    async with stranger(app) as visitor:
        yield await set_up(visitor, db, "mara", Role.OPERATOR)


@pytest.fixture
async def vera(app: Starlette, db: asyncpg.Connection) -> AsyncIterator[Visitor]:
    """A viewer who is signed in."""
    async with stranger(app) as visitor:
        yield await set_up(visitor, db, "vera", Role.VIEWER)
