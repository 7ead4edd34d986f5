"""Close a run, or find out what is left to do. Stage five of five; also settles the ledger of a cancelled run.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: "done" is a query, and the update that says so is conditional on it and on the claim's token, so a run is done once.
"""

from typing import cast

import structlog

from jobs import tracing
from jobs.errors import Deferred
from jobs.failpoints import reach
from jobs.resources import Resources
from jobs.stages.plan import RANGE
from jobs.store import runs
from jobs.store.batches import Claim, Stage, close
from jobs.store.deliveries import slot_of
from jobs.store.ids import MemberId

log = structlog.get_logger(__name__)

SWEEP_MEMBERS = 20_000
"""Members looked at in one sweep; a larger rest takes several."""

REPORTED_MEMBERS = 50
"""Members that the report names, of those whose letter has not arrived."""

FREE_SWEEPS = 3
"""Sweeps without a pause. A main app whose sessions come back is swept with growing ones, and visibly."""

SETTLE_SECONDS = 2.0
"""How long a settlement waits, at most, before it looks again: who holds letters usually gives them back before the lease runs out."""

LETTER_STAGES = frozenset({Stage.NOTICE, Stage.DEFERRED, Stage.REPORT, Stage.LIFTED, Stage.WEEK, Stage.DAY})


async def finish(resources: Resources, claim: Claim) -> None:
    """Close the run if nothing is left, or open batches for whoever joined or signed in meanwhile.

    Raises:
        Obsolete: The run was cancelled or superseded meanwhile.
        Deferred: Something is left; the batch comes back when that is done.
    """
    unfinished = await runs.find_unfinished(resources.pool, claim, limit=SWEEP_MEMBERS)
    if unfinished:
        await _sweep(resources, claim, unfinished)
        seconds = 0.0 if claim.token <= FREE_SWEEPS else min(60.0, 2.0 ** min(claim.token - FREE_SWEEPS, 6))
        raise Deferred(claim.batch_id, seconds, f"{len(unfinished)} members joined or are still signed in; sweep {claim.token}")
    totals = await _count(resources, claim)
    reach("before_finish")
    if not await runs.finish(resources.pool, claim, totals):
        raise Deferred(claim.batch_id, 0.2)
    reach("after_finish")
    tracing.run(claim, members=cast("int", totals["members"]), sessions_ended=cast("int", totals["sessions_ended"]))
    log.info("run_finished", members=totals["members"], sessions_ended=totals["sessions_ended"])


async def _sweep(resources: Resources, claim: Claim, members: list[MemberId]) -> None:
    covered = opened = 0
    while covered < len(members):
        covered += await runs.sweep_range(resources.pool, claim, members[covered : covered + RANGE], size=RANGE)
        opened += 1
    log.info("run_swept", members=len(members), batches=opened)


async def _count(resources: Resources, claim: Claim) -> dict[str, object]:
    status = await runs.status(resources.pool, claim.run_id)
    unreachable, more = await runs.find_unreachable(resources.pool, claim, limit=REPORTED_MEMBERS)
    return {**status, "unreachable": unreachable, "unreachable_more": more}


async def settle(resources: Resources, claim: Claim) -> None:
    """Show the letters of a cancelled run as cancelled in the ledger, batch by batch.

    Raises:
        Deferred: Letters are still on their way; their outcomes come first.
    """
    wait = 0.0
    for batch in await runs.find_unsettled(resources.pool, claim.run_id):
        slot = slot_of(Stage(batch.stage)) if batch.stage in LETTER_STAGES else "notice"
        if not await runs.settle(resources.pool, claim.run_id, batch, slot):
            wait = max(wait, batch.lease_left.total_seconds(), 0.2)
    reach("in_settle")
    if wait:
        raise Deferred(claim.batch_id, min(wait, SETTLE_SECONDS), "letters that had begun are on their way")
    await close(resources.pool, claim)
    tracing.run(claim)
    log.info("run_settled")


FINISHERS = {Stage.FINISH: finish, Stage.SETTLE: settle}


async def close_run(resources: Resources, claim: Claim) -> None:
    """Finish or settle, as the claimed batch says."""
    await FINISHERS[claim.stage](resources, claim)
