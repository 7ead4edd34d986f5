"""Flip the switch because a message asked for it. Stage one of five; most main apps call the SQL function instead.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: this is the one message that is more than a hint, so it carries a request id and an expiry and is consumed once, in the
transaction that flips or refuses to. Delivered twice, late, or replayed after a lift, it does nothing; and because nobody would publish
it again, it waits out the weather of the database itself, as long as it lives.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from jobs.domain.backoff import full_jitter
from jobs.failpoints import reach
from jobs.resources import Resources
from jobs.store import requests
from jobs.store.database import LOCK_SECONDS, WEATHER, Connection, is_weather
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
    attempt = 0
    while True:
        try:
            async with resources.pool.acquire() as connection, connection.transaction(isolation="read_committed"):
                run = await _consume(connection, request)
        except WEATHER as weather:
            if not is_weather(weather):
                raise
            attempt += 1
            log.warning("request_postponed", request=str(request.request_id), attempt=attempt, error=type(weather).__name__)
            await asyncio.sleep(full_jitter(attempt, random.random(), first_seconds=0.2, most_seconds=5))  # noqa: S311 -- jitter
        else:
            reach("after_trigger")
            return run


async def _consume(connection: Connection, request: Request) -> int | None:
    """Do it, unless it has expired or was done before: the database's clock and its rows decide."""
    if not await requests.consume(connection, request.request_id, request.expires_at):
        log.info("request_ignored", request=str(request.request_id))
        return None
    try:
        # It waits for the batches in flight, as whoever calls the function itself does.
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        async with connection.transaction():  # a savepoint: what is refused was consumed all the same
            run = await _flip(connection, request)
    except (asyncpg.PostgresError, MalformedIdError) as error:
        if isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "").startswith("PC"):
            raise
        log.error("request_refused", request=str(request.request_id), error=str(error))  # noqa: TRY400 -- no fault of ours
        return None
    log.info("run_requested", run=run, request=str(request.request_id))
    return run


async def _flip(connection: Connection, request: Request) -> int:
    types = await IdTypes.read(connection)
    organization, admin = types.to_organization(request.organization_id), types.to_member(request.requested_by)
    run = await requests.require(connection, organization, admin, request.reason)
    await requests.note(connection, request.request_id, run)
    reach("in_trigger")
    return run
