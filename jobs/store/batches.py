"""Batches: the only thing that is claimed. Every write names the claim's token, and a stale one writes nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from jobs.errors import Obsolete
from jobs.store.database import Database
from jobs.store.ids import MemberId, OrganizationId
from jobs.store.statements import statement

CLAIM = statement("claim_batch")
RELEASE = statement("release_batch")
RENEW = statement("renew_lease")
CLOSE = statement("close_batch")
LET_GO = statement("let_go_batch")
BURY = statement("bury_batch")

MAX_ATTEMPTS = 12
"""Claims without progress after which a batch is put aside for a human."""


class Stage(StrEnum):
    """What a batch is for. All but the first four go to the mailers' queue: letters, and the planning of reminders."""

    PLAN = "plan"
    ENFORCE = "enforce"
    SETTLE = "settle"
    FINISH = "finish"
    NOTICE = "notice"
    DEFERRED = "deferred"
    REPORT = "report"
    LIFTED = "lifted"
    REMIND_WEEK = "remind_week"
    REMIND_DAY = "remind_day"
    WEEK = "week"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One batch, held under a lease, with what its run froze. `token` goes with every write."""

    batch_id: int
    run_id: int
    stage: Stage
    token: int
    attempts: int
    low: MemberId | None
    high: MemberId | None
    letters: int
    sending: int
    organization_id: OrganizationId
    requested_by: MemberId | None
    requested_at: datetime
    exempt_kinds: list[str]
    planned_to: MemberId | None
    totals: dict[str, Any] | None
    organization_name: str | None
    organization_locale: str | None
    organization_time_zone: str | None
    support_url: str | None
    decided_by: str | None
    deferred: int = 0


async def claim(
    db: Database, *, run_id: int, batch_id: int, token: int, stages: tuple[Stage, ...], lease: timedelta, holder: str
) -> Claim | None:
    """Claim a batch, or return `None`: somebody else has it, it is not due, it is spent, its run is over, or it is paused."""
    row = await db.fetchrow(CLAIM, run_id, batch_id, token, list(stages), lease, holder, MAX_ATTEMPTS)
    return None if row is None else Claim(**{**row, "stage": Stage(row["stage"])})


async def release(db: Database, claim: Claim, *, seconds: float, is_attempt: bool, error: str | None = None) -> bool:
    """Give a batch back until `seconds` from now. Returns whether the claim still held."""
    return await db.fetchrow(RELEASE, claim.batch_id, claim.token, timedelta(seconds=seconds), is_attempt, error) is not None


async def renew(db: Database, claim: Claim, lease: timedelta) -> bool:
    """Hold a batch for longer. Returns whether the claim still held."""
    return await db.fetchrow(RENEW, claim.batch_id, claim.token, lease) is not None


async def let_go(db: Database, claim: Claim) -> None:
    """Give back a batch that was cancelled or paused meanwhile, which is no attempt; nothing happens if the claim is stale."""
    await db.execute(LET_GO, claim.batch_id, claim.token)


async def close(db: Database, claim: Claim) -> None:
    """Close a batch that has nothing to count.

    Raises:
        Obsolete: The claim is stale.
    """
    if await db.fetchrow(CLOSE, claim.batch_id, claim.token) is None:
        raise Obsolete(claim.batch_id)


async def bury(db: Database, claim: Claim, reason: str) -> None:
    """Put a batch aside for a human; nothing happens if the claim is stale."""
    await db.execute(BURY, claim.batch_id, claim.token, reason)
