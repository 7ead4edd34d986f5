"""Runs: cutting them into ranges, enforcing a range, sweeping for what is left, closing them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from jobs.audit.entries import NOBODY, vouch_for
from jobs.errors import Deferred, Obsolete
from jobs.keys import Key
from jobs.store.batches import Claim
from jobs.store.database import Connection, Database
from jobs.store.ids import MemberId
from jobs.store.statements import RangeStatement, statement

NEXT_BOUNDARIES = RangeStatement.load("next_boundaries")
PLAN_RANGES = statement("plan_ranges")
SHARE_ORGANIZATION = statement("share_organization")
ENFORCE = RangeStatement.load("enforce_batch")
FIND_UNFINISHED = statement("find_unfinished")
SWEEP_RANGE = statement("sweep_range")
FIND_UNREACHABLE = statement("find_unreachable")
FINISH = statement("finish_run")
FIND_UNSETTLED = statement("find_unsettled")
SETTLE = RangeStatement.load("settle_batch")


SWITCHING_SECONDS = (0.1, 1.0)
"""How long a batch waits while somebody switches: milliseconds, unless the main app keeps its transaction open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """What one batch decided and did: members per verdict, and sessions ended."""

    members: int
    unprotected: int
    protected: int
    sso: int
    exempt: int
    inactive: int
    sessions_ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A cancelled batch whose letters the ledger does not show as cancelled yet."""

    batch_id: int
    stage: str
    low: MemberId | None
    high: MemberId | None
    lease_left: timedelta


async def next_boundaries(db: Database, claim: Claim, low: MemberId | None, *, size: int, count: int) -> list[MemberId]:
    """Return where the next ranges begin, at most `count`, in order; fewer: the members are at an end."""
    rows = await db.fetch(NEXT_BOUNDARIES.over(low, low), claim.organization_id, low, size, count)
    return [row["user_id"] for row in rows]


async def plan_ranges(
    db: Database, claim: Claim, low: MemberId | None, boundaries: Sequence[MemberId], *, is_last: bool, lease: timedelta
) -> int:
    """Write ranges as batches and return how many.

    Raises:
        Obsolete: The claim is stale or the run is over.
    """
    row = await db.fetchrow(PLAN_RANGES, claim.batch_id, claim.token, low, list(boundaries), is_last, lease)
    if row is None:
        raise Obsolete(claim.batch_id)
    return cast("int", row["batches"])


async def enforce(db: Connection, claim: Claim, audit_key: Key | None = None) -> Enforced:
    """Enforce one range and record it, vouched for under `audit_key`, in the caller's transaction; all or nothing.

    Raises:
        Deferred: Somebody is switching at this moment.
        Obsolete: The claim is stale or the run is over.
    """
    if not await db.fetchval(SHARE_ORGANIZATION, claim.organization_id):
        raise Deferred(claim.batch_id, random.uniform(*SWITCHING_SECONDS), "a switch of the organization is not committed yet")  # noqa: S311 -- jitter
    voucher = NOBODY if audit_key is None else vouch_for(audit_key, claim.run_id, claim.batch_id)
    row = await db.fetchrow(
        ENFORCE.over(claim.low, claim.high),
        claim.batch_id,
        claim.token,
        claim.run_id,
        claim.organization_id,
        claim.low,
        claim.high,
        claim.exempt_kinds,
        voucher.key_id,
        voucher.inner,
        voucher.outer,
    )
    if row is None:
        raise Obsolete(claim.batch_id)
    return Enforced(**{name: row[name] for name in Enforced.__slots__})


async def find_unfinished(db: Database, claim: Claim, *, limit: int) -> list[MemberId]:
    """Return members not judged yet, or unprotected with a live session, in order; at most `limit`."""
    rows = await db.fetch(FIND_UNFINISHED, claim.run_id, claim.organization_id, claim.exempt_kinds, limit)
    return [row["user_id"] for row in rows]


async def sweep_range(db: Database, claim: Claim, members: Sequence[MemberId], *, size: int) -> int:
    """Open a batch to enforce over `size` of the organization's members, from the first of `members` on; returns how many it covers.

    Raises:
        Obsolete: The claim is stale or the run is over.
    """
    row = await db.fetchrow(SWEEP_RANGE, claim.batch_id, claim.token, claim.organization_id, list(members), size)
    if row is None:
        raise Obsolete(claim.batch_id)
    return cast("int", row["members"])


async def find_unreachable(db: Database, claim: Claim, *, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return members whose letter has not arrived (`member_id`, `address`, `state`, `reason`), at most `limit`, and how many more."""
    rows = await db.fetch(FIND_UNREACHABLE, claim.run_id, claim.organization_id, limit)
    found = [{name: value for name, value in row.items() if name != "total"} for row in rows]
    return found, rows[0]["total"] - len(rows) if rows else 0


async def status(db: Database, run_id: int) -> dict[str, Any]:
    """Return the `run_status` object. Raises asyncpg's error with SQLSTATE PC005 for an unknown run."""
    return cast("dict[str, Any]", await db.fetchval("SELECT portcullis.run_status($1)", run_id))


async def finish(db: Database, claim: Claim, totals: dict[str, Any]) -> bool:
    """Close the run. Returns false when something is open again, or the claim is stale."""
    return await db.fetchrow(FINISH, claim.batch_id, claim.token, totals) is not None


async def find_unsettled(db: Database, run_id: int) -> list[Unsettled]:
    """Return the cancelled batches of a run that are not settled yet."""
    return [Unsettled(**row) for row in await db.fetch(FIND_UNSETTLED, run_id)]


async def settle(db: Database, run_id: int, batch: Unsettled, slot: str) -> bool:
    """Cancel the letters of a cancelled batch in the ledger. Returns false while a mailer still holds it."""
    return await db.fetchrow(SETTLE.over(batch.low, batch.high), batch.batch_id, run_id, slot, batch.low, batch.high) is not None
