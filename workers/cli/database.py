"""A connection to PostgreSQL for one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from jobs.client import PortcullisError
from jobs.store.database import CONNECT_SECONDS, SESSION_SETTINGS, STATEMENT_SECONDS, WEATHER, Connection, read_json
from jobs.store.ids import IdTypes
from workers.cli.explaining import asking_failed, connecting_failed, not_installed
from workers.settings import DatabaseSettings


@asynccontextmanager
async def connected(*, directly: bool = False) -> AsyncIterator[Connection]:
    """Yield a connection to `DATABASE_URL`, with the session settings that the statements count on.

    `directly`: to `DATABASE_URL_DIRECT`, where that is set.

    Raises:
        ConfigurationError: The variable is missing or malformed.
        Failure: The database is away, refuses, or has no Portcullis; or Portcullis refused what was asked.
    """
    settings = DatabaseSettings.load()
    variable = "DATABASE_URL_DIRECT" if directly and settings.database_url_direct else "DATABASE_URL"
    url = settings.direct_database_url if directly else settings.database_url.get_secret_value()
    try:
        connection = await connect(url)
    except (*WEATHER, asyncpg.PostgresError, ValueError) as error:
        raise connecting_failed(error, url, variable) from error
    try:
        yield connection
    except (*WEATHER, asyncpg.PostgresError, PortcullisError) as error:
        raise asking_failed(error, url) from error
    finally:
        with suppress(*WEATHER):
            await connection.close(timeout=2)


async def connect(url: str, *, seconds: float = CONNECT_SECONDS) -> Connection:
    """Open one connection. Raises what asyncpg raises, and `ValueError` for a URL that it can't read."""
    connection = await asyncpg.connect(
        url,
        timeout=seconds,
        command_timeout=STATEMENT_SECONDS + 5,
        server_settings={**SESSION_SETTINGS, "application_name": "portcullis command line"},
    )
    await read_json(connection)
    return connection


async def read_id_types(connection: Connection) -> IdTypes:
    """Return the types of ids. Raises `Failure` where Portcullis is not installed."""
    try:
        return await IdTypes.read(connection)
    except LookupError:
        raise not_installed() from None
