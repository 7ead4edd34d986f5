"""The record of what people ordered. Rows are only ever added, each in the transaction of what it records."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.store.database import Database
from jobs.store.ids import OrganizationId
from jobs.store.statements import statement
from jobs.store.steering.orders import Order

WRITE = statement("write_action")
LIST = statement("list_actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One order that was carried out. `scope` and `subject` say on what, where it is no run; `details` are JSON scalars and lists."""

    action_id: int
    happened_at: datetime
    actor: str
    via: str
    verb: str
    scope: str
    subject: str
    run_id: int | None
    organization_id: OrganizationId | None
    reason: str
    details: dict[str, Any]


async def note(
    db: Database,
    order: Order,
    verb: str,
    *,
    scope: str = "",
    subject: str = "",
    run_id: int | None = None,
    organization_id: OrganizationId | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Record what was done, in the caller's transaction; a run's organization is looked up."""
    words = (order.actor.strip(), order.via, verb, scope, subject)
    await db.execute(WRITE, *words, run_id, organization_id, order.reason.strip(), json.dumps(details or {}, default=str))


async def list_actions(
    db: Database, *, run_id: int | None = None, organization_id: OrganizationId | None = None, before: int | None = None, limit: int = 50
) -> list[Action]:
    """Return what people did, latest first: all, or what touched a run or an organization; only numbers below `before`, for the next page.

    What was done to an organization, a queue or everything is not listed with a run, though it may have held it up.
    """
    rows = await db.fetch(LIST, run_id, organization_id, before, limit)
    return [Action(**{**row, "details": json.loads(row["details"])}) for row in rows]
