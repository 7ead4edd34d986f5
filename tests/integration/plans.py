"""Query plans, of statements and of what functions run inside: which tables are scanned, and how many rows that took."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One node that reads a table. `rows` is over all its loops, with what a filter threw away; 0 where the plan was not run."""

    node: str
    table: str
    index: str
    condition: str
    rows: int

    @property
    def is_probe(self) -> bool:
        """Whether an index is asked for something, rather than a table or an index read from end to end."""
        return self.node in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan") and bool(self.condition)


def scans(plan: dict[str, Any]) -> Iterator[Scan]:
    """Every node of a plan (FORMAT JSON) that reads a table."""
    if (table := plan.get("Relation Name")) and plan["Node Type"] != "ModifyTable":
        read = plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        condition = plan.get("Index Cond") or plan.get("Recheck Cond") or plan.get("TID Cond") or ""
        loops = plan.get("Actual Loops", 1)
        yield Scan(
            node=plan["Node Type"],
            table=f"{plan['Schema']}.{table}" if "Schema" in plan else table,
            index=plan.get("Index Name", ""),
            condition=condition,
            rows=round(read * loops),
        )
    for part in plan.get("Plans", ()):
        yield from scans(part)


@asynccontextmanager
async def explained(db: asyncpg.Connection) -> AsyncIterator[list[Scan]]:
    """Collect what every statement reads that runs meanwhile, also inside of functions. Skips where the server has no auto_explain."""
    try:
        await db.execute("LOAD 'auto_explain'")
    except asyncpg.PostgresError as error:
        pytest.skip(f"plans inside of functions can't be seen: {error}")
    collected: list[Scan] = []

    def collect(_: asyncpg.Connection, message: Any) -> None:
        _, _, plan = message.message.partition("plan:\n")
        if plan:
            collected.extend(scans(json.loads(plan)["Plan"]))

    for setting, value in AUTO_EXPLAIN.items():
        await db.execute(f"SET auto_explain.{setting} = {value}")
    db.add_log_listener(collect)
    try:
        yield collected
    finally:
        db.remove_log_listener(collect)
        await db.execute("SET auto_explain.log_min_duration = -1")


@dataclass(frozen=True, slots=True)
class Use:
    """What was read of one table, by PostgreSQL's own count: scans from end to end, and rows by whatever way."""

    seq_scans: int
    rows: int


@asynccontextmanager
async def used(db: asyncpg.Connection) -> AsyncIterator[dict[str, Use]]:
    """Note which tables are read meanwhile, in one transaction; filled at its end."""
    tables: dict[str, Use] = {}
    async with db.transaction():
        before = await _counts(db)  # those of transactions that were not reported yet are among them
        yield tables
        for table, counts in (await _counts(db)).items():
            scans_, probes, rows = (after - old for after, old in zip(counts, before.get(table, (0, 0, 0)), strict=True))
            if scans_ or probes:
                tables[table] = Use(scans_, rows)


async def _counts(db: asyncpg.Connection) -> dict[str, tuple[int, int, int]]:
    rows = await db.fetch(
        "SELECT schemaname || '.' || relname AS name, coalesce(seq_scan, 0) AS scans, coalesce(idx_scan, 0) AS probes,"
        " coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables"
    )
    return {row["name"]: (row["scans"], row["probes"], row["rows"]) for row in rows}


AUTO_EXPLAIN = {
    "log_min_duration": "0",
    "log_nested_statements": "on",
    "log_analyze": "on",
    "log_timing": "off",
    "log_verbose": "on",  # names the schema
    "log_format": "json",
    "log_level": "notice",
}
