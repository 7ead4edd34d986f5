"""The pool of connections to PostgreSQL that workers use."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import asyncpg
from structlog.typing import FilteringBoundLogger as BoundLogger

STATEMENT_SECONDS = 45
LOCK_SECONDS = 30
WORKER_LOCK_SECONDS = 2
"""A worker has others to serve: what it waits for may be locked by a main app that leaves its transaction open."""
CONNECT_SECONDS = 10

SESSION_SETTINGS = {
    "application_name": "portcullis",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    # Compiling a statement of 500 rows costs more than running it.
    "jit": "off",
    # A range of members is a few hundred index probes into pages that are in memory, never a scan of everybody.
    "random_page_cost": "1.1",
}

Pool: TypeAlias = asyncpg.Pool
Connection: TypeAlias = asyncpg.Connection
Transaction: TypeAlias = asyncpg.transaction.Transaction
Database: TypeAlias = Pool | Connection | asyncpg.pool.PoolConnectionProxy

WEATHER = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg says to a question that comes between the server's goodbye and the end of the connection.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Classes of what passes by itself: lost connections, deadlocks, serialization failures, shutdowns, too many connections.

Who tries again asks `is_weather`: a statement that is called wrongly has one of these classes too.
"""


def is_weather(error: BaseException) -> bool:
    """Whether this passes by itself and nobody is to blame, so that the same may be tried again for ever.

    asyncpg raises `InterfaceError` for a lost connection and for a statement that is called wrongly; only the latter comes with a hint,
    or as a class derived from it.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return type(error) is asyncpg.InterfaceError and error.hint is None
    return isinstance(error, WEATHER)


def log_failure(log: BoundLogger, event: str, error: Exception) -> None:
    """Write down why something will be tried again: weather in a line, anything else with its traceback."""
    if is_weather(error):
        log.warning(event, error=type(error).__name__)
    else:
        log.error(event, exc_info=error)


@contextmanager
def weather_ignored() -> Iterator[None]:
    """Leave out what the weather prevents; raise the rest."""
    try:
        yield
    except WEATHER as error:
        if not is_weather(error):
            raise


class WorkerConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that is returned to its pool without a round trip: workers leave nothing behind in a session."""

    def get_reset_query(self) -> str:
        """Return nothing to reset."""
        return ""


async def open_pool(url: str, *, size: int, least: int = 1) -> Pool:
    """Open a pool of at most `size` connections, with the session settings that the statements count on.

    `least`: how many are opened at once; with 0 the database may be away.

    Raises:
        OSError, asyncpg.PostgresError: The database can't be reached.
    """
    return await asyncpg.create_pool(
        url,
        min_size=least,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS + 5,
        server_settings=SESSION_SETTINGS | {"lock_timeout": f"{WORKER_LOCK_SECONDS}s"},
        connection_class=WorkerConnection,
        init=read_json,
    )


async def close_pool(pool: Pool, *, seconds: float = 10.0) -> None:
    """Close a pool; what still holds a connection after `seconds`, or a database that is away, does not hold up the end of a process."""
    try:
        await asyncio.wait_for(pool.close(), seconds)
    except (*WEATHER, asyncpg.PostgresError):
        pool.terminate()


async def read_json(connection: Connection) -> None:
    """Let this connection give and take `jsonb` as Python objects."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=json.loads)


def _to_json(value: Any) -> str:
    return json.dumps(value, default=str)
