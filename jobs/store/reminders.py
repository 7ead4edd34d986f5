"""Reminders of a requirement whose date is still to come: cutting the members into ranges, and who of a range is owed one."""

from collections.abc import Sequence
from datetime import timedelta

from jobs.errors import Obsolete
from jobs.store.batches import Claim, Stage
from jobs.store.database import Database
from jobs.store.deliveries import slot_of
from jobs.store.ids import MemberId
from jobs.store.statements import RangeStatement, statement

PLAN = statement("plan_reminders")
OWE = RangeStatement.load("owe_reminders")


async def plan_ranges(
    db: Database, claim: Claim, letters: Stage, low: MemberId | None, boundaries: Sequence[MemberId], *, is_last: bool, lease: timedelta
) -> None:
    """Write ranges as batches of letters.

    Raises:
        Obsolete: The claim is stale or the run is over.
    """
    if await db.fetchrow(PLAN, claim.batch_id, claim.token, letters, low, list(boundaries), is_last, lease) is None:
        raise Obsolete(claim.batch_id)


async def owe(db: Database, claim: Claim) -> bool:
    """Owe a reminder to everybody of the claimed range who needs one. Returns whether it is still early enough for that."""
    row = await db.fetchrow(
        OWE.over(claim.low, claim.high),
        claim.batch_id,
        claim.token,
        claim.run_id,
        slot_of(claim.stage),
        claim.organization_id,
        claim.low,
        claim.high,
        claim.exempt_kinds,
    )
    return row is not None


async def stop(db: Database, run_id: int) -> None:
    """Cancel what has not left of a run's reminders."""
    await db.execute("SELECT portcullis.stop_reminders($1)", run_id)
