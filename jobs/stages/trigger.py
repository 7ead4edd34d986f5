"""Flip the switch because a message asked for it. Stage one of five; most main apps call the SQL function instead.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: this is the one message that is more than a hint, so it carries a request id and an expiry and is consumed once, in the
transaction that flips. Delivered twice, late, or replayed after a lift, it does nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from jobs.resources import Resources
from jobs.store import requests
from jobs.store.ids import IdTypes, MalformedIdError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody asks, by message, to require a second factor. Ids are JSON scalars; `expires_at` is aware."""

    organization_id: int | str
    requested_by: int | str
    reason: str | None
    request_id: UUID
    expires_at: datetime


async def trigger(resources: Resources, request: Request) -> int | None:
    """Consume the request and flip the switch, in one transaction; returns the run, or `None` where nothing was done.

    What the main app did wrong (an unknown organization, an admin without a factor) is logged and not tried again.
    """
    async with resources.pool.acquire() as connection:
        try:
            async with connection.transaction():
                if not await requests.consume(connection, request.request_id, request.expires_at):
                    log.info("request_ignored", request=str(request.request_id))
                    return None
                types = await IdTypes.read(connection)
                run = await requests.require(
                    connection,
                    types.to_organization(request.organization_id),
                    types.to_member(request.requested_by),
                    request.reason,
                )
                await requests.note(connection, request.request_id, run)
        except (asyncpg.PostgresError, MalformedIdError) as error:
            if isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "").startswith("PC"):
                raise
            log.error("request_refused", request=str(request.request_id), error=str(error))  # noqa: TRY400 -- no fault of ours
            return None
    log.info("run_requested", run=run, request=str(request.request_id))
    return run
