"""PostgreSQL: reachable, of a version that was tried, writable, READ COMMITTED, up to date, and able to wake a conductor."""

import asyncio
from typing import Any

import asyncpg

from jobs.store import diagnosis
from jobs.store.database import WEATHER, Connection
from workers import migrations
from workers.cli.database import connect
from workers.cli.doctor.findings import Finding, fault, note, ok, warning
from workers.cli.explaining import connecting_failed, place, reason
from workers.settings import DatabaseSettings

OLDEST, NEWEST = 14, 18
SECONDS = 5.0
CHANNEL = "portcullis_doctor"


async def reach(url: str, variable: str) -> Connection | Finding:
    """Return a connection, or why there is none."""
    try:
        return await connect(url, seconds=SECONDS)
    except (*WEATHER, asyncpg.PostgresError, ValueError) as error:
        failure = connecting_failed(error, url, variable)
        return fault(failure.what, str(failure.to_do))


async def check(db: Connection, settings: DatabaseSettings) -> list[Finding]:
    """Look at the server, at our schema, and at notifications."""
    server = await diagnosis.describe_server(db)
    return [
        _version(db.get_server_version().major, server["version"], settings),
        *_server(server),
        await _revision(db),
        await _notifications(db, settings),
    ]


def _version(major: int, version: str, settings: DatabaseSettings) -> Finding:
    what = f"PostgreSQL {version.split(maxsplit=1)[0]} at {place(settings.database_url.get_secret_value())}"
    if major < OLDEST:
        return fault(f"{what} is too old", f"Upgrade it to {OLDEST} or newer.")
    if major > NEWEST:
        to_do = f"Versions {OLDEST} to {NEWEST} were; upgrade Portcullis, or try it out first."
        return warning(f"{what} is newer than any that was tried", to_do)
    return ok(what)


def _server(server: dict[str, Any]) -> list[Finding]:
    found = []
    if server["isolation"] == "read committed":
        found.append(ok("transactions are READ COMMITTED by default"))
    else:
        to_do = "ALTER ROLE or ALTER DATABASE ... SET default_transaction_isolation = 'read committed'; sign-ins and batches rely on it."
        found.append(fault(f"transactions are {server['isolation'].upper()} by default", to_do))
    if server["is_read_only"]:
        found.append(fault("the server takes no writes: it is a standby or read-only", "Point DATABASE_URL to the primary."))
    if not server["is_durable"]:
        to_do = "Turn fsync and synchronous_commit on, unless this is for tests: PostgreSQL is the only place that holds the work."
        found.append(warning("a crash of the server loses commits: fsync or synchronous_commit is off", to_do))
    return found


async def _revision(db: Connection) -> Finding:
    newest = migrations.newest_revision()
    try:
        installed = await db.fetchval("SELECT version_num FROM portcullis.schema_version")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        installed = None
    if installed is None:
        return fault("Portcullis is not installed in this database", "Run `portcullis migrate`, with the types of the main app's ids.")
    if installed == newest:
        return ok(f"the schema is at revision {installed}, the newest")
    to_do = "Run `portcullis migrate`; if this program is older than the schema, upgrade the program."
    return fault(f"the schema is at revision {installed}, this program expects {newest}", to_do)


async def _notifications(db: Connection, settings: DatabaseSettings) -> Finding:
    variable = "DATABASE_URL_DIRECT" if settings.database_url_direct else "DATABASE_URL"
    listener = await reach(settings.direct_database_url, variable)
    if isinstance(listener, Finding):
        return listener
    try:
        heard = asyncio.Event()
        await listener.add_listener(CHANNEL, lambda *_: heard.set())
        await db.execute(f"NOTIFY {CHANNEL}")
        await asyncio.wait_for(heard.wait(), 2)
    except TimeoutError:
        to_do = "Set DATABASE_URL_DIRECT to the server itself, not to a transaction pooler; until then the conductor looks once a second."
        return warning(f"a notification does not arrive through {variable}", to_do)
    except (*WEATHER, asyncpg.PostgresError) as error:
        return note(f"notifications could not be tried: {reason(error)}")
    finally:
        listener.terminate()
    return ok("notifications arrive, so a conductor is woken at once")
