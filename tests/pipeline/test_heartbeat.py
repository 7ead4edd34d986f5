"""The heartbeat of a worker outlives what can happen to it, and says what did."""

import asyncio

from structlog.testing import capture_logs

from tests.pipeline.world import World
from workers.heartbeat import Heartbeat


async def test_one_that_fails_is_told_of_and_the_next_one_is_said(world: World) -> None:
    await world.db.execute("ALTER TABLE portcullis.worker RENAME COLUMN threads TO mislaid")
    with capture_logs() as said:
        heart = asyncio.create_task(Heartbeat(resources=world.resources, queues=["notify"], threads=1, seconds=0.01).run())
        await world.until_so(lambda: said)
        await world.db.execute("ALTER TABLE portcullis.worker RENAME COLUMN mislaid TO threads")
        await world.until(lambda: world.db.fetchval("SELECT count(*) FROM portcullis.worker"), 1)
        heart.cancel()
    assert {entry["event"] for entry in said} == {"heartbeat_failed"}
