"""A scene for tests of a requirement's options."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from jobs.resources import Resources
from jobs.store.database import open_pool
from tests.builders import an_organization
from tests.integration.policy_parts import Scene
from tests.pipeline.world import a_mailroom
from tests.relay import Relay


@pytest.fixture
async def scene(db: asyncpg.Connection, database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    pool = await open_pool(database_url, size=4)
    async with Relay() as relay, a_mailroom(pool, redis_url, relay) as mail:
        resources = Resources(pool=pool, holder="test", mail=mail)
        yield Scene(db=db, resources=resources, relay=relay, organization=await an_organization(db, members=2))
    await pool.close()
