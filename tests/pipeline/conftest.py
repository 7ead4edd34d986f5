"""A world, or a visit to real processes, for each test; the independent checker looks it over when the test is through with it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.conftest import Databases, an_installed_database
from tests.pipeline.system import System, Visit, a_system, visiting
from tests.pipeline.world import World, a_world
from workers.demo.servers import Servers


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """A line an event: structlog's own tracebacks take longer than the stages that they are about."""
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()])


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, redis_url) as world:
        yield world
        assert await world.violations() == []
        assert world.is_touched or await world.record_finding() is None


@pytest.fixture(scope="module")
def system(databases: Databases, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The processes of the Procfile, which come up with the first visit."""
    with (
        an_installed_database(databases) as url,
        a_system(tmp_path_factory.mktemp("system"), url, servers.redis_url) as system,
    ):
        yield system


@pytest.fixture
async def visit(system: System) -> AsyncIterator[Visit]:
    async with visiting(system) as visit:
        yield visit
