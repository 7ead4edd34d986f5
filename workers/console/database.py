"""The console's connections to PostgreSQL: few, and impatient, so that no page ever stands in the way of the work."""

from typing import Final

import asyncpg

from jobs.store.database import CONNECT_SECONDS, SESSION_SETTINGS, Pool, close_pool, read_json

CONNECTIONS: Final = 6
STATEMENT_SECONDS: Final = 10

SETTINGS: Final = SESSION_SETTINGS | {
    "application_name": "portcullis console",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{STATEMENT_SECONDS}s",
}

__all__ = ["close_pool", "open_pool"]


async def open_pool(url: str) -> Pool:
    """Open the pool. Raises what asyncpg raises."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=CONNECTIONS,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS + 5,
        server_settings=SETTINGS,
        init=read_json,
    )
