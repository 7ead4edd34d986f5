"""A world for each test, looked over by the independent checker when the test is through with it."""

from collections.abc import AsyncIterator

import pytest
import structlog

from tests.pipeline.world import World, a_world


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """A line an event: structlog's own tracebacks take longer than the stages that they are about."""
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()])


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, redis_url) as world:
        yield world
        assert await world.violations() == []
