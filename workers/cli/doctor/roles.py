"""The roles of PostgreSQL: whether there are any, and whether each may what it should and no more."""

from jobs.store import granted
from jobs.store.database import Connection
from workers.cli.doctor.findings import Finding, fault, note, ok

SHOWN = 5
"""Faults named one by one."""


async def check(db: Connection) -> list[Finding]:
    """Compare roles and rights with what they should be."""
    if not await granted.are_there(db):
        return [note("there are no roles: every process has the same rights (`portcullis migrate --roles` makes them)")]
    faults = await granted.find_faults(db)
    left = await granted.find_left(db)
    found = [fault(f"rights of roles are wrong: {line}", "Run `portcullis migrate --roles`.") for line in faults[:SHOWN]]
    found += [fault("the schema directory does not let the roles in", f"Run as its owner: {statement}") for statement in left]
    if len(faults) > SHOWN:
        found.append(note(f"and {len(faults) - SHOWN} more"))
    return found or [ok("each role may what it should, and no more")]
