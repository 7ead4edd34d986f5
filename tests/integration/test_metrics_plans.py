"""A scrape stays cheap beside 500 runs that are over and one of a million members: index probes of what is open, nothing of the ledger."""

from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from jobs.store import measures
from jobs.store.database import SESSION_SETTINGS
from tests.conftest import Databases, an_installed_database
from tests.integration.plans import used

OPEN, OVER = 1_000, 60_000

SEED = """
    INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) SELECT n, true, 1, 1 FROM generate_series(1, 501) n;
    INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at, has_open_batches)
    SELECT n, 1, 1, CASE n WHEN 1 THEN 'running' ELSE 'done' END, CASE WHEN n > 1 THEN now() END, n = 1 FROM generate_series(1, 501) n;
    INSERT INTO portcullis.batch (run_id, stage, state, done_at, accepted)
    SELECT r.run_id, 'notice', 'done', now(), 500 FROM portcullis.run r CROSS JOIN generate_series(1, 120) n WHERE r.state = 'done';
    INSERT INTO portcullis.batch (run_id, stage, low, high, owed)
    SELECT r.run_id, 'notice', n * 1000, n * 1000 + 1000, 1000 FROM portcullis.run r CROSS JOIN generate_series(1, 1000) n
    WHERE r.state = 'running';
    ANALYZE portcullis.policy, portcullis.run, portcullis.batch
"""


@pytest.fixture(scope="module")
def seeded_url(databases: Databases) -> Iterator[str]:
    with an_installed_database(databases) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SEED.encode())
            connection.execute("VACUUM portcullis.batch, portcullis.run")
        yield url


@pytest.fixture
async def db(seeded_url: str) -> asyncpg.Connection:
    return await asyncpg.connect(seeded_url, server_settings=SESSION_SETTINGS)


async def test_a_scrape_reads_what_is_open_and_not_what_is_over(db: asyncpg.Connection) -> None:
    async with used(db) as tables:
        [enforce, notify] = await measures.queues(db)
        runs = await measures.runs(db)
        await measures.processes(db)
        await measures.steering(db)
        await measures.audit(db)
    assert (enforce.ready, notify.ready, runs.running, runs.letters_owed) == (0, OPEN, 1, OPEN * 1000)
    assert tables["portcullis.batch"].seq_scans == 0
    assert tables["portcullis.batch"].rows < OVER / 6
    assert "portcullis.delivery" not in tables
    assert tables["portcullis.run"].rows < 100 or tables["portcullis.run"].seq_scans == 0
    await db.close()
