"""Remind members before the date from which a second factor is required. Beside the run, which begins on that date.

    require (date) ─▶ remind_week, remind_day ─▶ letters (batch)* ─▶ notify        ...        plan ─▶ enforce ─▶ notify ─▶ finish

Repeat-safe: how far the planning has come is written with its batches, a member is owed a reminder once per slot, and each letter is
decided again when it is claimed, so that whoever has set up a factor meanwhile gets none. After the date nothing more leaves.
"""

import structlog

from jobs.resources import Resources
from jobs.stages.notify import notify
from jobs.stages.plan import RANGE
from jobs.store import reminders, runs
from jobs.store.batches import Claim, Stage

log = structlog.get_logger(__name__)

RANGES = 100
"""Ranges in one step of the planning."""

LETTERS_OF = {Stage.REMIND_WEEK: Stage.WEEK, Stage.REMIND_DAY: Stage.DAY}


async def write_letters(resources: Resources, claim: Claim) -> None:
    """Do one batch of the mailers' queue: plan reminders, or send letters of whatever kind.

    Raises:
        Obsolete, Deferred: As the stages do.
    """
    if claim.stage in LETTERS_OF:
        await plan_reminders(resources, claim)
    elif claim.stage in LETTERS_OF.values():
        await remind(resources, claim)
    else:
        await notify(resources, claim)


async def plan_reminders(resources: Resources, claim: Claim) -> None:
    """Cut the organization's members into ranges, step by step, each step committed.

    Raises:
        Obsolete: The run was cancelled, or its date was moved.
    """
    letters, low = LETTERS_OF[claim.stage], claim.low
    while True:
        boundaries = await runs.next_boundaries(resources.pool, claim, low, size=RANGE, count=RANGES)
        is_last = len(boundaries) < RANGES
        await reminders.plan_ranges(resources.pool, claim, letters, low, boundaries, is_last=is_last, lease=resources.lease)
        if is_last:
            return
        low = boundaries[-1]


async def remind(resources: Resources, claim: Claim) -> None:
    """Send one range's reminders, or none if the date has come.

    Raises:
        Obsolete, Deferred: As `notify`.
    """
    if await reminders.owe(resources.pool, claim):
        await notify(resources, claim)
    else:
        await reminders.stop(resources.pool, claim.run_id)
        log.info("reminders_stopped")
