"""What the gate, a sign-in and a batch read through `directory.member`, by PostgreSQL's own plans.

Each should probe indexes for the members it is about. A view that computes a fact over everybody does so at every request: at a million
members 40 ms instead of 0.2 ms, and 75 ms instead of 5 ms a batch.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from jobs.store import diagnosis
from jobs.store.database import WEATHER, Connection
from workers.cli.doctor.findings import Finding, Level, fault, note, ok
from workers.cli.explaining import reason

MANY_FOR_ONE = 2_000
MANY_FOR_A_BATCH = 100_000
"""Rows from which reading all of a table is a fault, for one member and once for a batch. Below, it may be the best plan."""
BATCH = 500
HASHED = re.compile(r"hashed (SubPlan \d+)")
"""A subquery that is read once, into a hash table."""
TO_DO = (
    "Look the fact up per member: an index on the user id, a subquery with LIMIT 1, the id in its native type (no cast), no aggregate over"
    " everybody. workers/demo/main_app.sql is an example."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A table, or an index of it, that is read from end to end. `rows`: as many as the planner expects to return.

    `repeated`: once for each member, not once for all of them.
    """

    table: str
    rows: float
    repeated: bool


async def check(db: Connection) -> list[Finding]:
    """Explain statements with real ids, and name what they read whole."""
    try:
        sample = await diagnosis.sample_members(db, limit=BATCH + 1)
        if sample is None:
            return [note("directory.member has nobody, so there is nothing to plan for")]
        organization, members = sample
        plans = {
            "a request at the gate": (await diagnosis.explain_gate(db, organization, members[0]), MANY_FOR_ONE),
            "a sign-in": (await diagnosis.explain_sign_in(db, members[0]), MANY_FOR_ONE),
            f"a batch of {BATCH}": (await diagnosis.explain_batch(db, organization, members[0], members[-1]), MANY_FOR_A_BATCH),
        }
        judged = [await _judge(db, who, plan, many) for who, (plan, many) in plans.items()]
        return [*judged, await _judge_address(db)]
    except (*WEATHER, asyncpg.PostgresError) as error:
        return [note(f"plans could not be looked at: {reason(error)}", "Mend what is said above first.")]


def find_scans(plan: dict[str, Any]) -> list[Scan]:
    """Return what a plan (EXPLAIN's VERBOSE JSON) reads whole, outside our own schema."""
    once = set(HASHED.findall(json.dumps(plan)))
    return list(_scans(plan, once, repeated=False))


def _scans(node: dict[str, Any], once: set[str], *, repeated: bool) -> Iterator[Scan]:
    is_whole = node["Node Type"] == "Seq Scan" or (node["Node Type"] in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node)
    if is_whole and node["Schema"] != "portcullis":
        yield Scan(table=f"{node['Schema']}.{node['Relation Name']}", rows=node["Plan Rows"], repeated=repeated)
    for child in node.get("Plans", ()):
        yield from _scans(child, once, repeated=repeated or _is_repeated(node, child, once))


def _is_repeated(node: dict[str, Any], child: dict[str, Any], once: set[str]) -> bool:
    match child.get("Parent Relationship"):
        case "SubPlan":
            return child.get("Subplan Name") not in once
        case "Inner":
            return bool(node["Node Type"] == "Nested Loop")
        case _:
            return False


async def _judge_address(db: Connection) -> Finding:
    """Nothing waits for this one: people search, and a few letters come back by a relay's own sender."""
    judged = await _judge(db, "a search by address", await diagnosis.explain_address(db), MANY_FOR_A_BATCH)
    return judged if judged.level is Level.OK else note(judged.what, "An index on addresses that the view can use makes it quick.")


async def _judge(db: Connection, who: str, plan: dict[str, Any], many: int) -> Finding:
    scans = find_scans(plan)
    sizes = await diagnosis.count_rows(db, {scan.table for scan in scans})
    large = {}
    for scan in scans:
        rows = max(scan.rows, sizes.get(scan.table, 0))
        if rows >= (MANY_FOR_ONE if scan.repeated else many):
            large[scan.table] = rows
    if not large:
        return ok(f"{who} probes indexes of directory.member")
    named = ", ".join(f"{table} (about {rows:,.0f} rows)" for table, rows in large.items())
    return fault(f"{who} makes directory.member read all of {named}", TO_DO)
