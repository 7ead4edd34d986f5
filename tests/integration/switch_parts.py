"""The switch as an admin flips it, a run worked off without a broker, and connections that wait: for tests of the SQL contract."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobs.claiming import Work, run_claimed
from jobs.resources import Resources
from jobs.stages.enforce import enforce
from jobs.stages.finish import close_run
from jobs.stages.plan import plan
from jobs.store import batches as store_batches
from jobs.store.batches import Claim, Stage
from jobs.store.database import open_pool

STAGES: dict[Stage, Work] = {Stage.PLAN: plan, Stage.ENFORCE: enforce, Stage.SETTLE: close_run, Stage.FINISH: close_run}

EVERY_ID_TYPE = pytest.mark.parametrize("id_type", ["integer", "bigint", "uuid", "text"], indirect=True)


async def require(db: asyncpg.Connection, organization_id: Any, admin: Any, *, exempt_kinds: Sequence[str] | None = ()) -> int:
    run_id = await db.fetchval(
        "SELECT portcullis.require_second_factor($1, $2, 'audit', $3)",
        organization_id,
        admin,
        None if exempt_kinds is None else list(exempt_kinds),
    )
    return int(run_id)


async def lift(db: asyncpg.Connection, organization_id: Any, admin: Any) -> None:
    await db.execute("SELECT portcullis.lift_second_factor($1, $2, 'over')", organization_id, admin)


async def cancel(db: asyncpg.Connection, run_id: int) -> None:
    await db.execute("SELECT portcullis.cancel_run($1, 'wrong day')", run_id)


async def gate(db: asyncpg.Connection, user_id: Any, organization_id: Any = None, started_with: str | None = "password") -> str:
    return str(await db.fetchval("SELECT portcullis.gate($1, $2, $3)", user_id, organization_id, started_with))


@dataclass
class Refusal:
    """What the database said, once it has."""

    message: str = ""
    hint: str = ""


@contextmanager
def refused(sqlstate: str) -> Iterator[Refusal]:
    """Expect a refusal of Portcullis with that SQLSTATE, in whole sentences."""
    refusal = Refusal()
    with pytest.raises(asyncpg.PostgresError) as raised:
        yield refusal
    assert raised.value.sqlstate == sqlstate, raised.value
    refusal.message, refusal.hint = raised.value.message, raised.value.hint
    assert refusal.hint.endswith("."), "a hint says in a sentence what to do"


@asynccontextmanager
async def a_worker(url: str) -> AsyncIterator[Resources]:
    """What a worker's stages share, with a pool of its own and the session settings of a worker."""
    pool = await open_pool(url, size=2)
    try:
        yield Resources(pool=pool, holder="test")
    finally:
        await pool.close()


async def work(resources: Resources, run_id: int, stage: Stage) -> int:
    """Do every open batch of one stage, one after the other; returns how many there were."""
    rows = await resources.pool.fetch(
        "SELECT batch_id, token FROM portcullis.batch WHERE run_id = $1 AND stage = $2 AND state = 'open' ORDER BY batch_id", run_id, stage
    )
    for row in rows:
        await run_claimed(resources, STAGES[stage], stages=(stage,), run_id=run_id, batch_id=row["batch_id"], token=row["token"])
    return len(rows)


async def enforce_all(url: str, run_id: int) -> None:
    """Plan the run and end the sessions that must end; letters stay owed."""
    async with a_worker(url) as resources:
        await work(resources, run_id, Stage.PLAN)
        await work(resources, run_id, Stage.ENFORCE)


@asynccontextmanager
async def connected(url: str, count: int = 1) -> AsyncIterator[list[asyncpg.Connection]]:
    connections = [await asyncpg.connect(url) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.terminate()


async def waits(observer: asyncpg.Connection, waiting: asyncpg.Connection, task: "asyncio.Task[Any]") -> bool:
    """Return whether the statement that `task` runs on `waiting` is held up by another connection; false: it has ended."""
    while not task.done():
        if await observer.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", waiting.get_server_pid()):
            return True
        await asyncio.sleep(0.005)
    return False


async def batches(db: asyncpg.Connection, run_id: int, *columns: str) -> list[dict[str, Any]]:
    """The batches of a run in the order they were made."""
    rows = await db.fetch(f"SELECT {', '.join(columns)} FROM portcullis.batch WHERE run_id = $1 ORDER BY batch_id", run_id)
    return [dict(row) for row in rows]


async def a_session(
    db: asyncpg.Connection, user_id: Any, started_with: str | None = "password", *, organization_id: Any = None, restricted: bool = False
) -> int:
    session_id = await db.fetchval(
        "INSERT INTO app.sessions (user_id, started_with, organization_id, restricted_to_enrolment) VALUES ($1, $2, $3, $4)"
        " RETURNING session_id",
        user_id,
        started_with,
        organization_id,
        restricted,
    )
    return int(session_id)


async def live_sessions(db: asyncpg.Connection) -> set[int]:
    return {row["session_id"] for row in await db.fetch("SELECT session_id FROM app.sessions WHERE ended_at IS NULL")}


async def policy(db: asyncpg.Connection, organization_id: Any) -> tuple[bool, int] | None:
    row = await db.fetchrow("SELECT required, epoch FROM portcullis.policy WHERE organization_id = $1", organization_id)
    return None if row is None else (row["required"], row["epoch"])


async def run(db: asyncpg.Connection, run_id: int) -> asyncpg.Record:
    return await db.fetchrow("SELECT * FROM portcullis.run WHERE run_id = $1", run_id)


async def live_runs(db: asyncpg.Connection) -> list[int]:
    return [row["run_id"] for row in await db.fetch("SELECT run_id FROM portcullis.run WHERE state = 'running' ORDER BY run_id")]


async def nothing_happened(db: asyncpg.Connection) -> bool:
    counts = await db.fetchrow(
        "SELECT (SELECT count(*) FROM portcullis.policy), (SELECT count(*) FROM portcullis.run), (SELECT count(*) FROM portcullis.batch)"
    )
    return tuple(counts) == (0, 0, 0)


async def claim_one(db: asyncpg.Connection, run_id: int, stage: Stage) -> Claim:
    """Claim the first open batch of a stage, as a worker would."""
    row = await db.fetchrow(
        "SELECT batch_id, token FROM portcullis.batch WHERE run_id = $1 AND stage = $2 AND state = 'open' ORDER BY batch_id LIMIT 1",
        run_id,
        stage,
    )
    claimed = await store_batches.claim(
        db,
        run_id=run_id,
        batch_id=row["batch_id"],
        token=row["token"],
        stages=(stage,),
        lease=timedelta(minutes=1),
        holder="test",
    )
    assert claimed is not None
    return claimed
