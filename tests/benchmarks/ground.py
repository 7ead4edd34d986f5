"""What every figure of the bench stands on: one durable PostgreSQL, databases full of people, and a Valkey for each run.

People are invented once for each crowd; a run gets a copy of that database, so all runs and their yardsticks begin with the same pages.
A Valkey a run, because its memory's peak can't be set back.
"""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from workers.demo.foundation import APP_URL, MAIL_FROM
from workers.demo.main_app import main_app_sql
from workers.demo.people import OrganizationSpec, Seeded, seed
from workers.demo.servers import postgres, private_directory, valkey
from workers.migrations import migrate

LIMITS = ("RELAY_RATE", "ORGANIZATION_RATE", "DOMAIN_RATE", "DAILY_QUOTA", "LETTERS_PER_CONNECTION", "CONNECTIONS_PER_MINUTE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A database that runs copy, and the organizations in it."""

    database: str
    organizations: Sequence[Seeded]


@dataclass(slots=True, kw_only=True)
class Ground:
    """The PostgreSQL that everything runs on, a folder for logs, and what was learned in the warm-up."""

    url: str = field(repr=False)
    folder: Path
    letter: Path
    """A letter as it left, with its headers; the peers' template."""
    octets_a_letter: int = 0
    keys: str = field(default_factory=lambda: f"bench:{base64.b64encode(secrets.token_bytes(32)).decode()}", repr=False)

    def url_of(self, database: str) -> str:
        """Return where that database is."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect to the server's own database."""
        async with connected(self.url) as connection:
            yield connection

    @asynccontextmanager
    async def crowd(self, *organizations: OrganizationSpec) -> AsyncIterator[Crowd]:
        """Make a database with these organizations in it, and drop it afterwards."""
        async with self._database("template1") as database:
            async with connected(self.url_of(database)) as db:
                await db.execute(main_app_sql())
            await asyncio.to_thread(migrate, self.url_of(database))
            async with connected(self.url_of(database)) as db:
                seeded = await seed(db, *organizations)
            yield Crowd(database=database, organizations=seeded)

    @asynccontextmanager
    async def copy_of(self, crowd: Crowd) -> AsyncIterator[str]:
        """Make a copy of that database and yield its URL. Nothing is left to be written when it is ready."""
        async with self._database(crowd.database) as database:
            async with self.admin() as admin:
                await admin.execute("CHECKPOINT")
            yield self.url_of(database)

    def settings(self, database_url: str, redis_url: str, smtp_port: int) -> dict[str, str]:
        """Return the variables that processes are started with. Every limit on sending is off."""
        return {
            "DATABASE_URL": database_url,
            "DATABASE_URL_DIRECT": database_url,
            "REDIS_URL": redis_url,
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "MAIL_FROM": MAIL_FROM,
            "APP_URL": APP_URL,
            "PORTCULLIS_KEYS": self.keys,
            **{f"PORTCULLIS_{limit}": "0" for limit in LIMITS},
        }

    @asynccontextmanager
    async def _database(self, template: str) -> AsyncIterator[str]:
        name = f"portcullis_bench_{secrets.token_hex(4)}"
        async with self.admin() as admin:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield name
        finally:
            async with self.admin() as admin:
                await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def a_ground(folder: Path) -> Iterator[Ground]:
    """Start PostgreSQL with fsync on, or take the one of `DATABASE_URL`.

    Raises:
        SetupError: It can't be had on this machine.
    """
    with ExitStack() as stack:
        url = os.environ.get("DATABASE_URL") or stack.enter_context(postgres(stack.enter_context(private_directory())))
        yield Ground(url=url, folder=folder, letter=folder / "letter.eml")


@contextmanager
def a_valkey() -> Iterator[str]:
    """Run a Valkey that nobody else uses."""
    with ExitStack() as stack:
        yield stack.enter_context(valkey(stack.enter_context(private_directory())))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect for as long as the block lasts."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def postmaster(db: asyncpg.Connection) -> list[int]:
    """Return the id of PostgreSQL's first process where it runs on this machine, else nothing."""
    backend = await db.fetchval("SELECT pg_backend_pid()")
    try:
        process = psutil.Process(backend)
        parent = process.parent() if "postgres" in process.name() else None
    except psutil.NoSuchProcess:
        return []
    return [parent.pid] if parent else []
