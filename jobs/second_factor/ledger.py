"""Write down what was done to somebody's second factor, and owe the member a letter about it: in the transaction that does it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog

from jobs.client import Id
from jobs.second_factor.member import Origin
from jobs.store.database import Connection
from jobs.store.statements import statement

RECORD = statement("write_factor_audit")
OWE = statement("owe_factor_letter")

log = structlog.get_logger(__name__)

NOWHERE = Origin()


class Effect(StrEnum):
    """What happened; the word is stored."""

    ADDED = "added"
    REPLACED = "replaced"
    REMOVED = "removed"
    RESET = "reset"
    DISABLED = "disabled"
    RECOVERY_USED = "recovery_used"
    RECOVERY_RENEWED = "recovery_renewed"


class Letter(StrEnum):
    """Letters about a factor; each is a folder of `email_templates`."""

    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    RECOVERY_USED = "recovery_used"
    FACTOR_RESET = "factor_reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One effect. `done_by` is the member themselves, an admin, or `None`: it happened by rule."""

    effect: Effect
    user_id: Id
    done_by: Id | None
    factor_id: UUID
    kind: str
    organization_id: Id | None = None
    reason: str | None = None
    is_override: bool = False
    sessions_ended: int = 0
    origin: Origin = NOWHERE


async def record(db: Connection, done: Done) -> None:
    """Write one record, in the caller's transaction."""
    await db.execute(
        RECORD,
        done.effect,
        done.user_id,
        done.done_by,
        done.organization_id,
        done.factor_id,
        done.kind,
        done.reason,
        done.is_override,
        done.sessions_ended,
        json.dumps(done.origin.to_json()),
    )
    log.info("factor_changed", user=str(done.user_id), effect=str(done.effect), sessions_ended=done.sessions_ended)


async def owe(
    db: Connection,
    letter: Letter,
    user_id: Id,
    *,
    done_by: Id | None = None,
    origin: Origin = NOWHERE,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Owe the member a letter. `facts` are what its template needs beside the origin."""
    await db.execute(OWE, user_id, letter, done_by, json.dumps({**origin.to_json(), **(facts or {})}))
