"""What the demo stands on before any worker runs: servers, a database with the main app and the schema, a mail server.

Everything is undone in reverse order when the block is left, however it is left.
"""

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from workers.demo.embedded import LOOPBACK, SetupError
from workers.demo.main_app import main_app_sql
from workers.demo.processes import mail_server, release
from workers.demo.servers import Servers, servers_from_environment_or_embedded

APP_URL = "https://app.kestrel.example"
MAIL_FROM = "Kestrel Security <security@kestrel.example>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """A system that only lacks people and processes. `settings` are the variables that the processes are started with."""

    servers: Servers
    database_url: str = field(repr=False)
    settings: dict[str, str] = field(repr=False)
    directory: Path

    @property
    def maildir(self) -> Path:
        """Where the mail server puts letters."""
        return self.directory / "letters"

    @property
    def log(self) -> Path:
        """What the processes of the Procfile say."""
        return self.directory / "processes.log"

    @property
    def environment(self) -> dict[str, str]:
        """Our own environment with `settings` over it."""
        return {**os.environ, **self.settings}


@contextmanager
def foundation(directory: Path) -> Iterator[Foundation]:
    """Build one whose letters and logs lie in `directory`.

    Raises:
        SetupError: Something is missing on this machine; says what to do.
    """
    with ExitStack() as stack:
        servers = stack.enter_context(servers_from_environment_or_embedded())
        database_url = stack.enter_context(_database(servers.database_url))
        port = stack.enter_context(mail_server(directory / "letters", directory / "mail-server.log"))
        built = Foundation(
            servers=servers, database_url=database_url, settings=_settings(database_url, servers.redis_url, port), directory=directory
        )
        release(built.environment, directory / "release.log")
        yield built


@contextmanager
def _database(url: str) -> Iterator[str]:
    """Create a database of the demo's own on that server, with the main app in it, and drop it afterwards."""
    name = f"portcullis_demo_{secrets.token_hex(4)}"
    with _admin(url) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    own_url = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    try:
        with psycopg.connect(own_url, autocommit=True) as connection:
            connection.execute(main_app_sql())
        yield own_url
    finally:
        with _admin(url) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _admin(url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.Error as error:
        raise SetupError(
            f"PostgreSQL at DATABASE_URL would not create or drop the demo's own database: {error}",
            "give DATABASE_URL a role with CREATEDB, or leave it unset: then an embedded PostgreSQL is started.",
        ) from error


def _settings(database_url: str, redis_url: str, smtp_port: int) -> dict[str, str]:
    # Our own mail server needs no protection from us, so every sending limit is off.
    limits = ("RELAY_RATE", "ORGANIZATION_RATE", "DOMAIN_RATE", "DAILY_QUOTA", "LETTERS_PER_CONNECTION", "CONNECTIONS_PER_MINUTE")
    return {
        "DATABASE_URL": database_url,
        "DATABASE_URL_DIRECT": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": f"smtp://{LOOPBACK}:{smtp_port}",
        "MAIL_FROM": MAIL_FROM,
        "APP_URL": APP_URL,
        "PORTCULLIS_CONSOLE_ADDRESS": f"{LOOPBACK}:0",  # whichever port is free
        "PORTCULLIS_METRICS_ADDRESS": f"{LOOPBACK}:0",
        "PORTCULLIS_KEYS": f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        **{f"PORTCULLIS_{limit}": "0" for limit in limits},
    }
