"""Requests that came as a message: consumed once."""

from datetime import datetime
from typing import cast
from uuid import UUID

from jobs.store.database import Database
from jobs.store.ids import MemberId, OrganizationId
from jobs.store.statements import statement

CONSUME = statement("consume_request")
NOTE = statement("note_request")


async def consume(db: Database, request_id: UUID, expires_at: datetime) -> bool:
    """Return whether the request is ours now; false: it expired, or was consumed before."""
    return await db.fetchrow(CONSUME, request_id, expires_at) is not None


async def require(db: Database, organization: OrganizationId, admin: MemberId, reason: str | None) -> int:
    """Switch on and return the run. Raises asyncpg's error with a SQLSTATE of class PC where the main app asked wrongly."""
    return cast("int", await db.fetchval("SELECT portcullis.require_second_factor($1, $2, $3)", organization, admin, reason))


async def note(db: Database, request_id: UUID, run_id: int) -> None:
    """Remember which run the request led to."""
    await db.execute(NOTE, request_id, run_id)
