"""Forget members of runs that are over for long: their rows go, in small steps; the counts of batches and the record stay.

Beside each conductor; of several one at a time does it. Repeat-safe: a step removes what is there, and a run is through once.
"""

import asyncio
from datetime import timedelta

import structlog

from jobs.store.database import Pool, log_failure
from jobs.store.statements import statement

log = structlog.get_logger(__name__)

FORGET = statement("forget_members")

ROWS = 2_000
"""Rows removed in one step: some 20 ms, and no burden for whoever works beside it."""

STEP_SECONDS = 0.5
LOOK_SECONDS = 600.0


async def forget(pool: Pool, days: int) -> bool:
    """Take one step; returns whether there may be more to do."""
    row = await pool.fetchrow(FORGET, timedelta(days=days), ROWS)
    if row is not None and row["is_through"]:
        log.info("members_forgotten", run=row["run_id"])
    return row is not None


async def forget_for_ever(pool: Pool, days: int) -> None:
    """Take step after step until cancelled; 0 days: keep everything."""
    while days:
        try:
            is_more = await forget(pool, days)
        except Exception as error:  # noqa: BLE001 -- a right that is missing must show, and must not end it for good
            log_failure(log, "forgetting_failed", error)
            is_more = False
        await asyncio.sleep(STEP_SECONDS if is_more else LOOK_SECONDS)
