"""Hot statements on a seeded database: index probes only, and no more rows than they are about, whatever the planner has been told.

20,000 members in the organization whose run is looked at, 40,000 others in 2,999, 750 runs before it and 50 beside it with 24,000
batches, and 60,000 letters of earlier runs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import psycopg
import pytest

from jobs.stages.plan import RANGE
from jobs.store import batches, deliveries, hints, runs
from jobs.store.database import SESSION_SETTINGS, Database
from jobs.store.statements import FOLDER, RangeStatement
from tests.conftest import Databases, _install
from tests.integration.plans import explained, used
from tests.integration.switch_parts import a_worker, require, work
from workers.demo.main_app import IdType

Db: TypeAlias = asyncpg.Connection

HERE, ADMIN, SMALL_ORGANIZATION, LEASE = 1, 20_000, 30, timedelta(minutes=1)
VOUCHER = ("k1", bytes(64), bytes(64))
CANARIES = True

PEOPLE = """
    SET session_replication_role = replica;
    INSERT INTO app.organizations (organization_id, name) SELECT n, 'organization ' || n FROM generate_series(1, 3000) n;
    INSERT INTO app.users (user_id, email, password_hash)
    SELECT n, n || '@example.com', 'hash' FROM generate_series(1, 60000) n;
    INSERT INTO app.memberships (organization_id, user_id)
    SELECT CASE WHEN n <= 20000 THEN 1 ELSE 2 + n % 2999 END, n FROM generate_series(1, 60000) n;
    INSERT INTO app.second_factors (user_id, confirmed_at)
    SELECT n, CASE WHEN n % 3 > 0 THEN now() END FROM generate_series(1, 60000) n WHERE n % 4 = 0;
    INSERT INTO app.identities SELECT 'https://login.example.com', n::text, n FROM generate_series(1, 60000, 7) n;
    INSERT INTO app.sessions (user_id, started_with) SELECT n % 60000 + 1, 'password' FROM generate_series(1, 120000) n;
    ANALYZE app.organizations, app.users, app.memberships, app.second_factors, app.identities, app.sessions
"""
"""Done before Portcullis does anything: an app's tables have statistics."""

EARLIER = """
    INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) SELECT n, true, 1, 1 FROM generate_series(2, 3000) n;
    INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at, has_open_batches)
    SELECT n, 1, 1, CASE WHEN n % 15 = 0 THEN 'running' ELSE 'done' END, CASE WHEN n % 15 > 0 THEN now() END, n % 15 = 0
    FROM generate_series(2, 801) n;
    INSERT INTO portcullis.batch (run_id, stage, state, urgency, low, high, owed)
    SELECT r.run_id, CASE n % 3 WHEN 0 THEN 'enforce' ELSE 'notice' END, CASE r.state WHEN 'done' THEN 'done' ELSE 'open' END, n % 3,
           n * 500, n * 500 + 500, 250
    FROM portcullis.run r CROSS JOIN generate_series(1, 30) n;
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state)
    SELECT r, 'notice', n, r * 100 + n / 500, 'unprotected', 'accepted' FROM generate_series(1, 3) r, generate_series(1, 20000) n
"""

ANALYZE = "ANALYZE portcullis.policy, portcullis.run, portcullis.batch, portcullis.delivery"

ALONE = f"DELETE FROM app.memberships WHERE organization_id NOT IN ({HERE}, {SMALL_ORGANIZATION}); ANALYZE app.memberships"

STATISTICS = ("never", "before this run", "now, of a database with hardly anybody else")
"""When the planner was last told what is in Portcullis's own tables; autovacuum is off, so that it stays so."""


@pytest.fixture(scope="module", params=STATISTICS)
def seeded_url(databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    template = databases.template("installed", IdType.BIGINT, build=lambda url: _install(url, IdType.BIGINT))
    name = databases.create(template)
    url = databases.url_of(name)
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("policy", "run", "batch", "delivery"):
            connection.execute(f"ALTER TABLE portcullis.{table} SET (autovacuum_enabled = off)".encode())
        connection.execute(PEOPLE)
        if request.param == STATISTICS[-1]:
            connection.execute(ALONE)
        connection.execute(EARLIER)
        connection.execute("SELECT app.confirm_second_factor(%s)", (ADMIN,))
        if request.param == "before this run":
            connection.execute(ANALYZE)
        asyncio.run(half_a_run(url))
        if request.param == STATISTICS[-1]:
            connection.execute(ANALYZE)
    yield url
    databases.drop(name)


async def half_a_run(url: str) -> None:
    """A run of which one range was left out, and the first and the last are to be swept; and one of a small organization."""
    async with a_worker(url) as resources:
        run_id = await require(resources.pool, HERE, ADMIN)
        await work(resources, run_id, batches.Stage.PLAN)
        later = "UPDATE portcullis.batch SET next_at = now() + interval '1 hour' WHERE stage = 'enforce' AND low = 10001 AND run_id = $1"
        assert await resources.pool.execute(later, run_id) == "UPDATE 1"
        await work(resources, run_id, batches.Stage.ENFORCE)
        await resources.pool.execute(
            "INSERT INTO portcullis.batch (run_id, stage, low, high) VALUES ($1, 'enforce', NULL, 501), ($1, 'enforce', 19501, NULL)",
            run_id,
        )
        await resources.pool.execute("UPDATE portcullis.batch SET next_at = now() WHERE run_id = $1 AND state = 'open'", run_id)
        small = await resources.pool.fetchval("SELECT run_id FROM portcullis.run WHERE organization_id = $1", SMALL_ORGANIZATION)
        await resources.pool.execute("UPDATE portcullis.batch SET state = 'done' WHERE run_id = $1", small)
        await resources.pool.execute("INSERT INTO portcullis.batch (run_id, stage) VALUES ($1, 'enforce'), ($1, 'enforce')", small)
        first = await hold(resources.pool, "enforce", "true", SMALL_ORGANIZATION)
        row = await resources.pool.fetchrow(
            runs.ENFORCE.over(None, None), *first.claim, small, SMALL_ORGANIZATION, None, None, [], *VOUCHER
        )
        assert row["members"] == 13


@pytest.fixture
async def db(seeded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(seeded_url, server_settings=SESSION_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A batch under a claim, as the statements name it."""

    run_id: int
    batch_id: int
    token: int
    low: int | None
    high: int | None

    @property
    def claim(self) -> tuple[int, int]:
        return self.batch_id, self.token

    @property
    def range(self) -> tuple[int | None, int | None]:
        return self.low, self.high


async def hold(db: Database, stage: str, which: str, organization_id: int = HERE) -> Held:
    row = await db.fetchrow(
        "UPDATE portcullis.batch SET token = token + 1, attempts = attempts + 1, leased_until = now() + interval '1 hour'"
        " WHERE batch_id = (SELECT b.batch_id FROM portcullis.batch b JOIN portcullis.run r USING (run_id)"
        f" WHERE r.organization_id = $2 AND b.stage = $1 AND b.state = 'open' AND {which} ORDER BY b.urgency, b.batch_id LIMIT 1)"
        " RETURNING run_id, batch_id, token, low, high",
        stage,
        organization_id,
    )
    return Held(**row)


BOUNDED = "b.low IS NOT NULL AND b.high IS NOT NULL"

RANGES = pytest.mark.parametrize(
    "which",
    [BOUNDED, "b.low IS NULL AND b.high IS NOT NULL", "b.low IS NOT NULL AND b.high IS NULL"],
    ids=["bounded", "open below", "open above"],
)


@asynccontextmanager
async def rolled_back(db: Db) -> AsyncIterator[None]:
    transaction = db.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def check(
    db: Db, statement: RangeStatement | str, *arguments: Any, over: tuple[Any, Any] = (0, 0), rows: int, before: Any = None
) -> None:
    """Run the statement under every kind of plan, undo it, and look at what it read: `rows` at most, and no table from end to end."""
    text = statement if isinstance(statement, str) else statement.over(*over)
    for mode in ("force_custom_plan", "auto"):
        await db.execute(f"SET plan_cache_mode = {mode}")
        async with rolled_back(db):
            extra = () if before is None else await before()
            async with used(db) as tables:
                answer = await db.fetch(text, *arguments, *extra)
        assert answer, "the statement did what it is for"
        assert {table for table, use in tables.items() if use.seq_scans and not is_allowed(table, over)} == set(), mode
        async with explained(db) as seen:
            for _ in range(7 if mode == "auto" else 1):  # PostgreSQL decides after five whether it keeps a plan
                async with rolled_back(db):
                    extra = () if before is None else await before()
                    seen.clear()
                    await db.fetch(text, *arguments, *extra)
        assert [scan for scan in seen if scan.node == "Seq Scan" and not is_allowed(scan.table, over)] == [], mode
        assert sum(scan.rows for scan in seen) <= rows, (mode, sorted(seen, key=lambda scan: -scan.rows)[:5])


SMALL = {"portcullis.worker", "portcullis.joiner", "portcullis.pause"}


def is_allowed(table: str, over: tuple[Any, Any]) -> bool:
    return table in SMALL or (table == "app.users" and over[0] is not None and over[1] is None)


@RANGES
async def test_enforcing_a_range(db: Db, which: str) -> None:
    held = await hold(db, "enforce", which)
    # For each member: membership, account, identity, factor, grace, session before and after; and what the ledger knows of them.
    rows = 11 * RANGE
    if held.high is None:
        # One range a run. PostgreSQL can't know how few members of one organization have ids above this one, and may read the accounts.
        rows += 60_000
    await check(db, runs.ENFORCE, *held.claim, held.run_id, HERE, *held.range, [], *VOUCHER, over=held.range, rows=rows)


@RANGES
async def test_peeking_at_letters(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)
    arguments = (held.batch_id, held.run_id, "notice", HERE, *held.range, 2_000)
    await check(db, deliveries.PEEK, *arguments, over=held.range, rows=5 * RANGE)


@RANGES
@pytest.mark.parametrize("chosen", [False, True], ids=["whoever is next", "chosen members"])
async def test_marking_letters(db: Db, which: str, chosen: bool) -> None:  # noqa: FBT001 -- a parameter of pytest
    held = await hold(db, "notice", which)
    members = [row["member_id"] for row in await db.fetch("SELECT member_id FROM portcullis.delivery WHERE batch_id = $1", held.batch_id)]
    arguments = (*held.claim, held.run_id, "notice", HERE, *held.range, 250, members[:100] if chosen else None, LEASE, CANARIES)
    await check(db, deliveries.MARK, *arguments, over=held.range, rows=7 * RANGE)


async def test_recording_what_became_of_letters(db: Db) -> None:
    held = await hold(db, "notice", BOUNDED)

    async def marked() -> tuple[list[Any], ...]:
        rows = await db.fetch(
            deliveries.MARK.over(*held.range), *held.claim, held.run_id, "notice", HERE, *held.range, 250, None, LEASE, CANARIES
        )
        members = [row["member_id"] for row in rows if row["member_id"] is not None]
        count = len(members)
        assert count > 100
        return (
            *([held.run_id] * count, [held.batch_id] * count, [held.token] * count, ["notice"] * count, members, ["accepted"] * count),
            *([None] * count, ["250 ok"] * count, [0.0] * count, [0] * count, [0] * count, [False] * count, [], []),
        )

    await check(db, deliveries.RECORD, rows=1_000, before=marked)


@RANGES
async def test_closing_a_batch_of_letters(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)
    arguments = (*held.claim, held.run_id, "notice", *held.range, timedelta(0), None, True)
    await check(db, deliveries.CLOSE, *arguments, over=held.range, rows=2 * RANGE + 100)


@RANGES
async def test_owing_again_what_a_killed_mailer_left(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)
    await check(db, deliveries.RECLAIM, *held.claim, "notice", *held.range, over=held.range, rows=2 * RANGE + 100)


@RANGES
async def test_parting_deferred_letters(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)

    async def deferred() -> tuple[()]:
        await db.execute("UPDATE portcullis.batch SET deferred = 1, owed = owed - 1 WHERE batch_id = $1", held.batch_id)
        await db.execute(
            "UPDATE portcullis.delivery SET state = 'deferred' WHERE run_id = $1 AND slot = 'notice' AND member_id ="
            " (SELECT min(member_id) FROM portcullis.delivery WHERE batch_id = $2)",
            held.run_id,
            held.batch_id,
        )
        return ()

    await check(db, deliveries.PART_DEFERRED, *held.claim, held.run_id, *held.range, over=held.range, rows=2 * RANGE + 100, before=deferred)


@RANGES
async def test_settling_a_cancelled_batch(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)

    async def cancelled() -> tuple[()]:
        await db.execute("UPDATE portcullis.batch SET state = 'cancelled', leased_until = NULL WHERE batch_id = $1", held.batch_id)
        return ()

    await check(db, runs.SETTLE, held.batch_id, held.run_id, "notice", *held.range, over=held.range, rows=3 * RANGE + 100, before=cancelled)


@RANGES
async def test_owing_letters_that_it_is_over(db: Db, which: str) -> None:
    held = await hold(db, "notice", which)
    await check(db, deliveries.OWE_LIFTED, *held.claim, held.run_id, *held.range, over=held.range, rows=2 * RANGE + 100)


async def test_an_organization_that_is_one_range_only(db: Db) -> None:
    """Open at both ends: 13 members, among 60,000 and beside one of 20,000."""
    enforcing = await hold(db, "enforce", "true", SMALL_ORGANIZATION)
    arguments: tuple[Any, ...] = (*enforcing.claim, enforcing.run_id, SMALL_ORGANIZATION, None, None, [], *VOUCHER)
    await check(db, runs.ENFORCE, *arguments, over=(None, None), rows=300)
    held = await hold(db, "notice", "true", SMALL_ORGANIZATION)
    await check(db, deliveries.PEEK, held.batch_id, held.run_id, "notice", SMALL_ORGANIZATION, None, None, 9, over=(None, None), rows=100)
    marking = (*held.claim, held.run_id, "notice", SMALL_ORGANIZATION, None, None, 250, None, LEASE, CANARIES)
    await check(db, deliveries.MARK, *marking, over=(None, None), rows=200)
    closing = (*held.claim, held.run_id, "notice", None, None, LEASE, None, True)
    await check(db, deliveries.CLOSE, *closing, over=(None, None), rows=50)


@pytest.mark.parametrize(
    "name", [path.name.removesuffix(".sql") for path in FOLDER.iterdir() if "member_id IS NULL OR" in path.read_text(encoding="utf-8")]
)
async def test_every_form_of_a_statement_takes_the_same_parameters(db: Db, name: str) -> None:
    loaded = RangeStatement.load(name)
    forms = {loaded.over(low, high) for low in (None, 1) for high in (None, 1)}
    assert len(forms) == (2 if name == "next_boundaries" else 4)
    assert not any("portcullis.member_id IS NULL OR" in form for form in forms)
    wanted = (await db.prepare(loaded.text)).get_parameters()
    for form in forms:
        assert (await db.prepare(form)).get_parameters() == wanted


async def test_claiming_a_batch(db: Db) -> None:
    row = await db.fetchrow(
        "SELECT b.* FROM portcullis.batch b JOIN portcullis.run r USING (run_id)"
        " WHERE r.organization_id = 1 AND b.stage = 'notice' AND b.state = 'open' AND b.leased_until IS NULL LIMIT 1"
    )
    arguments = (row["run_id"], row["batch_id"], row["token"], ["notice", "deferred"], LEASE, "test", batches.MAX_ATTEMPTS)
    await check(db, batches.CLAIM, *arguments, rows=10)


@pytest.mark.parametrize(("statement", "extra"), [(batches.RENEW, (LEASE,)), (batches.CLOSE, ()), (batches.RELEASE, (LEASE, True, None))])
async def test_holding_and_giving_back_a_batch(db: Db, statement: str, extra: tuple[Any, ...]) -> None:
    held = await hold(db, "notice", BOUNDED)
    await check(db, statement, *held.claim, *extra, rows=5)


async def test_a_look_of_the_conductor(db: Db) -> None:
    """54 runs are live; of each a window of 8 batches a queue is looked at, whatever else is open."""
    await check(db, hints.HINT, 8, timedelta(seconds=5), 400, rows=15_000)


@pytest.mark.parametrize("low", [None, 5_001])
async def test_planning(db: Db, low: int | None) -> None:
    await check(db, runs.NEXT_BOUNDARIES, HERE, low, RANGE, 8, over=(low, low), rows=16 * RANGE + 100)


async def test_looking_for_what_failed_too_often(db: Db) -> None:
    async def failed() -> tuple[()]:
        await db.execute("UPDATE portcullis.batch SET attempts = 12 WHERE batch_id = (SELECT max(batch_id) FROM portcullis.batch)")
        return ()

    await check(db, hints.BURY, batches.MAX_ATTEMPTS, rows=10_000, before=failed)
