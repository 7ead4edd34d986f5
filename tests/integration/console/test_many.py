"""With 500 runs behind it, one of them of very many members, no page reads a table from end to end, whatever the planner was told."""

import os
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psycopg
import pytest
from starlette.applications import Starlette

from jobs.operators import Role
from jobs.store.database import read_json
from tests.conftest import Databases, _install
from tests.integration.console.browser import Visitor, serving, set_up, settings, stranger
from tests.integration.plans import Scan, explained
from workers.console.database import SETTINGS
from workers.demo.main_app import IdType

MEMBERS = int(os.environ.get("CONSOLE_MEMBERS", "200000"))
RUNS = 500
BATCHES = MEMBERS // 1000

SEED = f"""
    SET session_replication_role = replica;
    INSERT INTO app.organizations (organization_id, name) SELECT n, 'organization ' || n FROM generate_series(1, {RUNS}) n;
    INSERT INTO app.users (user_id, email, password_hash)
    SELECT n, n || '@d' || n % 500 || '.example', 'hash' FROM generate_series(1, {MEMBERS}) n;
    INSERT INTO app.memberships (organization_id, user_id) SELECT 1, n FROM generate_series(1, {MEMBERS}) n;
    INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) SELECT n, true, 1, 1 FROM generate_series(1, {RUNS}) n;
    INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at, has_open_batches, organization_name)
    SELECT n, 1, 1, CASE WHEN n % 50 = 1 THEN 'running' ELSE 'done' END, CASE WHEN n % 50 <> 1 THEN now() END, n % 50 = 1,
           'organization ' || n
    FROM generate_series(1, {RUNS}) n;
    INSERT INTO portcullis.batch (batch_id, run_id, stage, state, low, high, members, unprotected, sessions_ended, done_at, made_at)
    SELECT n, 1, 'enforce', 'done', n * 1000, n * 1000 + 1000, 1000, 1000, 1000, now() - interval '1 hour', now() - interval '1 hour'
    FROM generate_series(0, {BATCHES} - 1) n;
    INSERT INTO portcullis.batch (batch_id, run_id, stage, urgency, state, low, high, accepted, refused, owed, done_at,
                                  made_at, last_letter_at)
    SELECT 1000000 + n, 1, 'notice', 5, CASE WHEN n < {BATCHES} / 2 THEN 'done' ELSE 'open' END, n * 1000, n * 1000 + 1000,
           CASE WHEN n < {BATCHES} / 2 THEN 950 ELSE 0 END, CASE WHEN n < {BATCHES} / 2 THEN 50 ELSE 0 END,
           CASE WHEN n < {BATCHES} / 2 THEN 0 ELSE 1000 END, CASE WHEN n < {BATCHES} / 2 THEN now() - n * interval '1 second' END,
           now() - interval '1 hour', now()
    FROM generate_series(0, {BATCHES} - 1) n;
    SELECT setval('portcullis.batch_batch_id_seq', 5000000);
    INSERT INTO portcullis.batch (run_id, stage, state, members, accepted, done_at, made_at, error)
    SELECT r.run_id, CASE n % 2 WHEN 0 THEN 'enforce' ELSE 'notice' END,
           CASE WHEN r.state = 'done' THEN 'done' WHEN n % 10 = 0 THEN 'dead' ELSE 'open' END, 500, 500,
           CASE WHEN r.state = 'done' THEN now() - interval '2 days' END, now() - interval '2 days',
           'view of run ' || r.run_id || ' is gone'
    FROM portcullis.run r CROSS JOIN generate_series(1, 20) n WHERE r.run_id > 1;
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, recipient, reason)
    SELECT 1, 'notice', n, 1000000 + n / 1000, 'unprotected',
           CASE WHEN n >= {MEMBERS} / 2 THEN 'owed' WHEN n % 20 = 0 THEN 'refused' ELSE 'accepted' END, n || '@d' || n % 500 || '.example',
           CASE WHEN n % 20 = 0 THEN 'rcpt 550 5.1.1 no such mailbox, see gsmtp-' || n END
    FROM generate_series(1, {MEMBERS}) n;
    ANALYZE portcullis.delivery;
    UPDATE portcullis.batch SET failures = portcullis.failures_of(run_id, batch_id, low, high) WHERE run_id = 1 AND refused > 0;
    INSERT INTO portcullis.action (actor, via, verb, reason, run_id)
    SELECT 'mara', 'cli', 'pause', 'because', n % {RUNS} + 1 FROM generate_series(1, 20000) n;
    SET session_replication_role = DEFAULT
"""
PAGES = (
    "/",
    "/runs",
    "/runs?before=100",
    "/runs?state=running",
    "/runs?organization=7",
    "/runs/1",
    f"/members/{MEMBERS // 2}",
    "/queues",
    "/dead",
    "/dead/order?what=replay&everything=1",
    "/workers",
    "/limits",
    "/reconciler",
    "/audit",
    "/audit?before=5000",
    "/emergency",
)
LARGE = {"portcullis.delivery", "portcullis.action", "app.users", "app.memberships", "app.sessions"}
ONE_PAGE = 100
"""Rows that may be read along an index from one end, because reading stops there."""
MOST_ROWS = 60_000
"""Of one table, by one page: some 10 batches of 1,000 letters, or a run's 2,000 batches a few times over."""


@pytest.fixture(scope="module")
def seeded_url(databases: Databases) -> Iterator[str]:
    name = databases.create(databases.template("installed", IdType.BIGINT, build=lambda url: _install(url, IdType.BIGINT)))
    url = databases.url_of(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SEED.encode())
        connection.execute("ANALYZE")
    yield url
    databases.drop(name)


@pytest.fixture
async def app(seeded_url: str, redis_url: str) -> AsyncIterator[Starlette]:
    async with serving(settings(seeded_url, redis_url)) as app:
        yield app


@pytest.fixture
async def mara(app: Starlette, seeded_url: str) -> AsyncIterator[Visitor]:
    async with stranger(app) as visitor:
        await app.state.pool.execute("DELETE FROM portcullis.operator")
        yield await set_up(visitor, app.state.pool, "mara", Role.OPERATOR)


class OneConnection:
    """In the place of the pool: everything is asked on one connection, whose plans are collected."""

    def __init__(self, db: asyncpg.Connection) -> None:
        self._db = db

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)

    def acquire(self) -> "OneConnection":
        return self

    async def __aenter__(self) -> asyncpg.Connection:
        return self._db

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_reads_a_large_table_from_end_to_end(mara: Visitor, seeded_url: str, path: str) -> None:
    pool, db = mara.app.state.pool, await asyncpg.connect(seeded_url, server_settings=SETTINGS)
    await read_json(db)
    scans: list[Scan] = []
    try:
        async with explained(db) as scans:
            mara.app.state.pool = OneConnection(db)
            assert (await mara.get(path)).status_code == 200
    finally:
        mara.app.state.pool = pool
        await db.close()
    assert scans
    for scan in scans:
        assert scan.is_probe or scan.table not in LARGE or scan.rows <= ONE_PAGE, scan
    for table in {scan.table for scan in scans}:
        assert sum(scan.rows for scan in scans if scan.table == table) <= MOST_ROWS, table


@pytest.mark.skipif("CONSOLE_MEMBERS" not in os.environ, reason="times are looked at by a person: CONSOLE_MEMBERS=1000000 pytest -s")
async def test_how_long_each_page_takes(mara: Visitor) -> None:
    for path in PAGES:
        took = []
        for _ in range(7):
            begun = time.perf_counter()
            answer = await mara.get(path)
            took.append(time.perf_counter() - begun)
            assert answer.status_code == 200
        print(f"{path:40} {1000 * sorted(took)[3]:6.0f} ms  {len(answer.content):8,} bytes")  # noqa: T201 -- that is what it is for
