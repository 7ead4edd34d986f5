"""What pages and orders ask, on a database with 600 runs behind it: no table of batches, letters or actions is read from end to end.

600 runs of 40 batches each, of which 20 are open, one with 1,000 batches of letters and 60,000 letters; 300 dead batches of three causes.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from jobs.store import hints
from jobs.store.database import SESSION_SETTINGS
from jobs.store.steering import actions, dead, pauses, workers
from jobs.store.views import members, queues, runs
from tests.conftest import Databases, an_installed_database
from tests.integration.plans import explained

BIG, ORGANIZATION, MEMBER = 600, 600, 30_000

SEED = """
    SET session_replication_role = replica;
    INSERT INTO app.organizations (organization_id, name) SELECT n, 'organization ' || n FROM generate_series(1, 600) n;
    INSERT INTO app.users (user_id, email, password_hash) SELECT n, n || '@example.com', 'hash' FROM generate_series(1, 60000) n;
    INSERT INTO app.memberships (organization_id, user_id) SELECT 600, n FROM generate_series(1, 60000) n;
    INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) SELECT n, true, 1, 1 FROM generate_series(1, 600) n;
    INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at, has_open_batches)
    SELECT n, 1, 1, CASE WHEN n > 580 THEN 'running' ELSE 'done' END, CASE WHEN n <= 580 THEN now() END, n > 580
    FROM generate_series(1, 600) n ORDER BY n;
    INSERT INTO portcullis.batch (run_id, stage, state, done_at, made_at, members, accepted)
    SELECT r, CASE n % 2 WHEN 0 THEN 'enforce' ELSE 'notice' END, 'done', now() - interval '3 days', now() - interval '3 days', 100, 100
    FROM generate_series(1, 599) r, generate_series(1, 40) n;
    INSERT INTO portcullis.batch (run_id, stage, state, low, high, owed, refused, made_at)
    SELECT 600, 'notice', CASE WHEN n % 10 = 0 THEN 'open' ELSE 'done' END, n * 60 + 1, n * 60 + 61, 1, 59, now() - interval '3 days'
    FROM generate_series(0, 999) n;
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, reason, recipient)
    SELECT 600, 'notice', b.low + n, b.batch_id, 'unprotected', CASE n WHEN 0 THEN 'owed' ELSE 'refused' END, '550', 'a@example.com'
    FROM portcullis.batch b, generate_series(0, 59) n WHERE b.run_id = 600;
    INSERT INTO portcullis.batch (run_id, stage, state, error, done_at, owed)
    SELECT 581 + n % 20, 'notice', 'dead', (ARRAY['view is broken', 'no key', 'column is gone'])[1 + n % 3] || n, now(), 1
    FROM generate_series(1, 300) n;
    INSERT INTO portcullis.action (actor, via, verb, run_id, organization_id, reason)
    SELECT 'ines', 'cli', 'pause', n % 600 + 1, n % 600 + 1, 'why' FROM generate_series(1, 5000) n;
    INSERT INTO portcullis.worker (worker, queue, threads, version, held)
    SELECT 'host:' || n || '/notify', 'notify', 2, '1', ARRAY[n::bigint] FROM generate_series(1, 20) n;
    ANALYZE
"""
LARGE = {f"portcullis.{name}" for name in ("batch", "delivery", "action")} | {"app.users", "app.memberships"}

ASKED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a page of runs": (runs.PAGE, (300, None, None, 20)),
    "a page of runs in a state": (runs.PAGE, (None, "running", None, 20)),
    "a page of an organization's runs": (runs.PAGE, (None, None, ORGANIZATION, 20)),
    "open runs": (runs.OPEN, (20,)),
    "a run's facts": (runs.FACTS, (BIG,)),
    "a run's stages": (runs.STAGES, (BIG,)),
    "a run's oldest batch": (runs.OLDEST, (BIG,)),
    "a run's pace": (runs.MEASURE, (BIG, timedelta(minutes=1))),
    "a run's failures": (runs.FAILURES, (BIG, runs.LOOKED_INTO, runs.GROUPS)),
    "a member": (members.FACTS, (MEMBER,)),
    "a member's letters": (members.LETTERS, (MEMBER, [str(ORGANIZATION)], 100)),
    "queues in motion": (queues.MEASURE, (timedelta(minutes=1),)),
    "what waits": (queues.WAITING, ("notify", 20)),
    "the outbox": (queues.OUTBOX, ()),
    "letters that wait": (queues.LETTERS, (20,)),
    "the last letter": (queues.LAST_LETTER, ()),
    "dead groups": (dead.GROUPS, (None, 50, list(dead.DISCARDABLE))),
    "dead groups of a run": (dead.GROUPS, (590, 50, list(dead.DISCARDABLE))),
    "a count of all dead": (dead.COUNT, (None, None, None, list(dead.DISCARDABLE))),
    "a count of a run's dead": (dead.COUNT, (None, 590, None, list(dead.DISCARDABLE))),
    "a replay of a run": (dead.REPLAY, (None, 590, None, "why", 100)),
    "a replay of everything": (dead.REPLAY, (None, None, None, "why", 100)),
    "a discard of a run": (dead.DISCARD, (None, 590, None, "why", 100, list(dead.DISCARDABLE))),
    "actions": (actions.LIST, (None, None, None, 50)),
    "a run's actions": (actions.LIST, (BIG, None, None, 50)),
    "an organization's actions": (actions.LIST, (None, ORGANIZATION, 4_000, 50)),
    "pauses": (pauses.LIST, ()),
    "workers": (workers.LIST, ()),
    "what is due next": (hints.NEXT_DUE, ()),
    "a run's status": ("SELECT portcullis.run_status($1)", (BIG,)),
}


@pytest.fixture(scope="module")
def seeded_url(databases: Databases) -> Iterator[str]:
    with an_installed_database(databases) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SEED)
            connection.execute("INSERT INTO portcullis.pause (scope, subject, paused_by, reason) VALUES ('run', '590', 'ines', 'why')")
        yield url


@pytest.fixture
async def db(seeded_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(seeded_url, server_settings=SESSION_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ASKED)
async def test_no_large_table_is_read_from_end_to_end(db: asyncpg.Connection, name: str) -> None:
    text, arguments = ASKED[name]
    async with explained(db) as seen:
        transaction = db.transaction()
        await transaction.start()
        assert await db.fetch(text, *arguments), "it found something"
        await transaction.rollback()
    scanned = {scan.table for scan in seen if scan.node == "Seq Scan"}
    assert scanned & LARGE == set(), [scan for scan in seen if scan.node == "Seq Scan"]
    assert sum(scan.rows for scan in seen) < 12_000, sorted(seen, key=lambda scan: -scan.rows)[:5]
