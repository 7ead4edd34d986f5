"""What `portcullis doctor` asks of the database: the contract as it stands, samples of what the views say, and plans."""

import json
from collections.abc import Iterable
from typing import Any

from jobs.store.bounces import FIND_BY_ADDRESS
from jobs.store.contract import COLUMNS_QUERY, FUNCTIONS_QUERY, Column, EndSessions
from jobs.store.database import Connection
from jobs.store.ids import MemberId, OrganizationId
from jobs.store.runs import ENFORCE
from jobs.store.statements import statement

DESCRIBE_SERVER = statement("describe_server")
SAMPLE = statement("sample_members")
JUDGE_MEMBER = statement("judge_member")
JUDGE_MEMBERSHIPS = statement("judge_memberships")
COUNT_ROWS = statement("count_rows")
LIST_WORKERS = statement("list_workers")
COUNT_OPEN_RUNS = statement("count_open_runs")
COUNT_QUARANTINED = statement("count_quarantined")


async def describe_server(db: Connection) -> dict[str, Any]:
    """Return `version`, `isolation`, `is_read_only` and `is_durable`."""
    return dict(await db.fetchrow(DESCRIBE_SERVER))


async def read_contract(db: Connection) -> tuple[list[Column], list[EndSessions]]:
    """Return what the schema `directory` offers."""
    columns = [Column(**row) for row in await db.fetch(COLUMNS_QUERY)]
    return columns, [EndSessions(**row) for row in await db.fetch(FUNCTIONS_QUERY)]


async def sample_members(db: Connection, *, limit: int) -> tuple[OrganizationId, list[MemberId]] | None:
    """Return an organization and its first members, in order and as often as the view has them; `None`: nobody is there."""
    rows = await db.fetch(SAMPLE, limit)
    return (rows[0]["organization_id"], [row["user_id"] for row in rows]) if rows else None


async def end_no_session(db: Connection, organization: OrganizationId) -> None:
    """Call `directory.end_sessions` for nobody, and roll back: a function that can't run is found before it matters.

    Raises:
        asyncpg.PostgresError: Whatever the main app's function raised.
    """
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute("SELECT FROM directory.end_sessions($1, '{}', true)", organization)
    finally:
        await transaction.rollback()


async def explain_gate(db: Connection, organization: OrganizationId, member: MemberId) -> dict[str, Any]:
    """Return the plan of a request's question."""
    return await _explain(db, JUDGE_MEMBER, organization, member)


async def explain_sign_in(db: Connection, member: MemberId) -> dict[str, Any]:
    """Return the plan of a sign-in's question."""
    return await _explain(db, JUDGE_MEMBERSHIPS, member)


async def explain_batch(db: Connection, organization: OrganizationId, low: MemberId, high: MemberId) -> dict[str, Any]:
    """Return the plan of enforcing the members from `low` to before `high`. Nothing is carried out."""
    return await _explain(db, ENFORCE.over(low, high), 0, 0, 0, organization, low, high, [], None, None, None)


async def explain_address(db: Connection) -> dict[str, Any]:
    """Return the plan of looking for who has an address, as for a letter that came back."""
    return await _explain(db, FIND_BY_ADDRESS, 0, ["somebody@example.com"])


async def count_rows(db: Connection, tables: Iterable[str]) -> dict[str, float]:
    """Return about how many rows each of `tables` (`schema.table`) has."""
    return {row["name"]: row["rows"] for row in await db.fetch(COUNT_ROWS, list(tables))}


async def list_workers(db: Connection) -> list[dict[str, Any]]:
    """Return worker processes and the leading conductor: `worker`, `queue` (of it 'conductor'), `threads`, `version`, `silent_seconds`."""
    return [dict(row) for row in await db.fetch(LIST_WORKERS)]


async def count_open_runs(db: Connection) -> int:
    """Return how many runs have something left to do."""
    return int(await db.fetchval(COUNT_OPEN_RUNS))


async def count_quarantined(db: Connection) -> dict[str, int]:
    """Return how many messages were rejected within the last day, by reason."""
    return {row["reason"]: row["messages"] for row in await db.fetch(COUNT_QUARANTINED)}


async def _explain(db: Connection, text: str, *arguments: Any) -> dict[str, Any]:
    answer = json.loads(await db.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON)\n{text}", *arguments))
    plan: dict[str, Any] = answer[0]["Plan"]
    return plan
