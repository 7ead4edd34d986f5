"""Who works: processes that announced themselves, and the conductor that leads."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from jobs.routing import ENFORCE_QUEUE, NOTIFY_QUEUE
from jobs.store import diagnosis
from jobs.store.database import Connection
from workers.cli.doctor.findings import Finding, fault, ok, warning

ALIVE_SECONDS = 30.0
START = {
    "conductor": "Start one: `portcullis conductor`.",
    ENFORCE_QUEUE: "Start the process `enforcer` of the Procfile.",
    NOTIFY_QUEUE: "Start the process `mailer` of the Procfile.",
}


async def check(db: Connection) -> list[Finding]:
    """Look at the announcements. Somebody missing is a fault only while there is work."""
    everybody = await diagnosis.list_workers(db)
    alive = [one for one in everybody if one["silent_seconds"] < ALIVE_SECONDS]
    open_runs = await diagnosis.count_open_runs(db)
    found = [_presence(role, [one for one in alive if one["queue"] == role], open_runs) for role in START]
    return [*found, *_versions(alive)]


def _presence(role: str, present: Sequence[dict[str, Any]], open_runs: int) -> Finding:
    if present and role == "conductor":
        return ok(f"{present[0]['worker']} leads")
    if present:
        return ok(f"queue {role}: {len(present)} processes, {sum(one['threads'] for one in present)} batches at a time")
    missing = "no conductor leads" if role == "conductor" else f"nobody serves the queue {role}"
    if open_runs:
        return fault(f"{missing}, and runs with something left to do: {open_runs:,}", START[role])
    return warning(f"{missing}; there is nothing to do now", START[role])


def _versions(alive: Sequence[dict[str, Any]]) -> list[Finding]:
    ours = version("portcullis")
    others = sorted({one["version"] for one in alive if one["version"] not in {ours, None}})
    if not others:
        return []
    return [warning(f"workers run {', '.join(others)}, this is {ours}", "Finish the roll-out; old and new work side by side meanwhile.")]
