"""Cut an organization's members into ranges. Stage two of five.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: how far the plan has come is written with the ranges, in one statement under the claim's token, so a plan that is taken up
again goes on where the last one committed. Ranges are open at both ends, so whoever joins meanwhile falls into one.
"""

from jobs.failpoints import reach
from jobs.resources import Resources
from jobs.store import runs
from jobs.store.batches import Claim

RANGE = 1000
"""Members in a batch: a transaction of 10 to 20 ms. Half of it costs a fifth more a member (measured), twice of it gains nothing, and
how long a lift waits grows with it."""

FIRST_RANGES = 4
"""Ranges in the first step: few, so that the first sessions end at once."""

NEXT_RANGES = 100


async def plan(resources: Resources, claim: Claim) -> None:
    """Write the batches to enforce, step by step, each step committed.

    Raises:
        Obsolete: The run was cancelled or superseded meanwhile.
    """
    low, count = claim.planned_to, FIRST_RANGES
    while True:
        boundaries = await runs.next_boundaries(resources.pool, claim, low, size=RANGE, count=count)
        is_last = len(boundaries) < count
        await runs.plan_ranges(resources.pool, claim, low, boundaries, is_last=is_last, lease=resources.lease)
        reach("after_plan_step")
        if is_last:
            return
        low, count = boundaries[-1], NEXT_RANGES
