"""One member: who they are where, what every run decided and wrote, what happened to their second factor."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from jobs.store.database import Database, Pool
from jobs.store.ids import MemberId
from jobs.store.statements import statement

FACTS = statement("find_member_facts")
LETTERS = statement("list_member_letters")
ATTEMPTS = statement("list_attempts")
EVENTS = statement("list_factor_events")
BY_ADDRESS = statement("find_users_by_address")

RUNS_LOOKED_INTO = 100
ATTEMPTS_SHOWN = 30
"""Of one letter, the latest ones. The ladder takes fewer; a relay that hangs up at each one may take more."""
MOST_FOUND = 20
ADDRESS_TIMEOUT = timedelta(seconds=2)
"""The main app may have no index on addresses; then a search would read everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A user in one organization: the facts that the directory states, and the verdict on them now."""

    organization_id: str
    organization_name: str | None
    email: str | None
    kind: str | None
    is_active: bool | None
    has_password: bool | None
    has_sso: bool | None
    has_second_factor: bool | None
    required: bool
    epoch: int | None
    changed_at: datetime | None
    effective_at: datetime | None
    grace_until: datetime | None
    verdict: str
    is_exempt_kind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a letter that was not accepted: `refused`, `deferred`, `given_back`, `in_doubt` or `lost`.

    `number` counts from 1. `holder` is the process that tried, `token` its claim on the batch, `reason` the relay's words; a mailer that
    was lost told none of them.
    """

    run_id: int
    slot: str
    number: int
    outcome: str
    tried_at: datetime
    holder: str | None
    token: int | None
    relay: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLetter:
    """One row of the ledger with its batch. `doubts`: how often the relay never answered the final dot.

    `attempts` counts those that used up the recipient's patience; `tried` are all that were not accepted, the latest `ATTEMPTS_SHOWN`.
    """

    run_id: int
    organization_name: str | None
    run_state: str
    slot: str
    verdict: str
    sessions_ended: int
    state: str
    attempts: int
    doubts: int
    next_at: datetime
    first_tried_at: datetime | None
    changed_at: datetime
    letter: str | None
    recipient: str | None
    reason: str | None
    relay_id: str | None
    batch_id: int
    stage: str | None
    batch_state: str | None
    holder: str | None
    token: int | None
    batch_attempts: int | None
    batch_error: str | None
    tried: list[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEvent:
    """Something that happened to a second factor. `done_by` `None`: by rule."""

    happened_at: datetime
    effect: str
    kind: str | None
    done_by: str | None
    reason: str | None
    sessions_ended: int


class TooSlowError(Exception):
    """The main app can't find people by address in time."""


async def find(db: Pool, member: MemberId) -> list[Membership]:
    """Return a user's memberships; empty: the directory knows nobody of that id."""
    return [Membership(**row) for row in await db.fetch(FACTS, member)]


async def list_letters(db: Database, member: MemberId, organizations: list[str]) -> list[MemberLetter]:
    """Return what the latest runs of these organizations decided and wrote, latest run first."""
    letters = await db.fetch(LETTERS, member, organizations, RUNS_LOOKED_INTO)
    which = [row["run_id"] for row in letters], [row["slot"] for row in letters]
    tried = [Attempt(**row) for row in await db.fetch(ATTEMPTS, member, *which, ATTEMPTS_SHOWN)]
    return [MemberLetter(**row, tried=[one for one in tried if (one.run_id, one.slot) == (row["run_id"], row["slot"])]) for row in letters]


async def list_events(db: Pool, member: MemberId) -> list[FactorEvent]:
    """Return what happened to their factor, latest first."""
    return [FactorEvent(**row) for row in await db.fetch(EVENTS, member, MOST_FOUND)]


async def find_by_address(db: Pool, address: str) -> list[str]:
    """Return ids of users with this address, `MOST_FOUND` at most.

    Raises:
        TooSlowError: It would take longer than `ADDRESS_TIMEOUT`.
    """
    async with db.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = {int(ADDRESS_TIMEOUT.total_seconds() * 1000)}")
        try:
            return [row["user_id"] for row in await connection.fetch(BY_ADDRESS, address, MOST_FOUND)]
        except asyncpg.QueryCanceledError:
            raise TooSlowError from None
