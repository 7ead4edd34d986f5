"""Sending limits that people set while mail is going out; they hold instead of the configured ones until they are cleared."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobs.store.database import Connection, Database
from jobs.store.ids import IdTypes, OrganizationId
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import MalformedOrderError, Order, Stale, carrying_out

SET = statement("set_limit")
CLEAR = statement("clear_limit")
LIST = statement("list_limits")

LONGEST_SUBJECT = 255


class LimitScope(StrEnum):
    """What is limited: letters a second through a relay, of an organization, to a recipient domain; or letters in 24 hours."""

    RELAY = "relay"
    ORGANIZATION = "organization"
    DOMAIN = "domain"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimit:
    """One limit. `subject`: one relay (host:port), organization or domain; '' is every one. `amount`: 0 is no limit."""

    scope: LimitScope
    subject: str
    amount: float
    set_by: str
    reason: str
    set_at: datetime


async def set_limit(db: Database, order: Order, scope: LimitScope, subject: str, amount: float) -> float | None:
    """Set a limit: letters a second, for `quota` letters in 24 hours; 0: none. Returns what was set there before, or `None`.

    Raises:
        MalformedOrderError: The amount is no limit, or the subject is too long.
        MalformedIdError: The subject can't be the id of an organization.
    """
    if not math.isfinite(amount) or amount < 0:
        raise MalformedOrderError(f"{amount} is no limit: it takes a number from 0 on, and 0 is no limit at all")
    async with carrying_out(db) as connection:
        spelled, organization_id = await _spell(connection, scope, subject)
        before: float | None = await connection.fetchval(SET, scope, spelled, amount, order.actor.strip(), order.reason.strip())
        changed = {"amount": amount, "before": before}
        await note(connection, order, "set_limit", scope=scope, subject=spelled, organization_id=organization_id, details=changed)
        return before


async def clear_limit(db: Database, order: Order, scope: LimitScope, subject: str = "") -> float:
    """Let the configured limit hold again; returns what was set.

    Raises:
        Stale: None was set there.
        MalformedOrderError, MalformedIdError: As `set_limit`.
    """
    async with carrying_out(db) as connection:
        spelled, organization_id = await _spell(connection, scope, subject)
        before: float | None = await connection.fetchval(CLEAR, scope, spelled)
        if before is None:
            what = f"No limit is set for {scope} {spelled}".rstrip()
            raise Stale("no_limit", what, "`portcullis limits` lists those that are; the configured one holds.")
        await note(
            connection, order, "clear_limit", scope=scope, subject=spelled, organization_id=organization_id, details={"before": before}
        )
        return before


async def list_limits(db: Database) -> list[SendLimit]:
    """Return the limits that people set, by scope and subject."""
    return [SendLimit(**{**row, "scope": LimitScope(row["scope"])}) for row in await db.fetch(LIST)]


async def _spell(db: Connection, scope: LimitScope, subject: str) -> tuple[str, OrganizationId | None]:
    """Return the subject as mailers compare it, and the organization if it is one."""
    if scope is LimitScope.ORGANIZATION and subject:
        organization = (await IdTypes.read(db)).to_organization(subject)
        return str(organization), organization
    spelled = subject.strip().lower()
    if len(spelled) > LONGEST_SUBJECT or "\0" in spelled:
        raise MalformedOrderError(f"the name of a {scope} has at most {LONGEST_SUBJECT} characters, all printable")
    return spelled, None
