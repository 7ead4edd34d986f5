"""Everything that the story in the browser stands on, as in production: database, mail server, the app, the Procfile's processes.

The sending limit per organization is low, so that letters are still owed when somebody switches off; everything else is as it comes.
"""

import asyncio
import base64
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psycopg

from jobs.keys import KeyRing
from tests.integration.second_factor_parts import STEP, Phone, enrolled
from tests.main_app.configuration import PRODUCT
from tests.main_app.people import a_person, an_organization, load_schema
from workers.demo import tied
from workers.demo.foundation import Foundation
from workers.demo.letters import Arrived, arrived
from workers.demo.main_app import main_app_sql
from workers.demo.patience import READY
from workers.demo.processes import mail_server, procfile, tail
from workers.demo.servers import Servers
from workers.migrations import migrate

ROOT = Path(__file__).parents[2]
LETTERS_A_SECOND = 4
CROWD = 40
LONG_IDLE = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who is in the story. Kestrel's: an admin, somebody without a factor, with one, by SSO, an admin without one, a sleeper."""

    kestrel: int
    heron: int
    phones: dict[str, Phone]
    """By address: the authenticator apps of those who have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """It runs. `database_url` is for looking behind the pages."""

    url: str
    database_url: str
    directory: Path
    maildir: Path
    cast: Cast
    checked: list[str] = field(default_factory=list)
    """Steps in which axe-core found nothing."""

    def ask(self, query: str, *arguments: Any) -> Any:
        """Return the first value of a query's first row."""
        with closing(psycopg.connect(self.database_url, autocommit=True)) as db:
            row = db.execute(query, arguments).fetchone()
            return row and row[0]

    def letters(self, address: str) -> list[Arrived]:
        """Return what has arrived for somebody so far."""
        return [letter for letter in arrived(self.maildir) if letter.recipient == address]

    def letter(self, address: str, kind: str, *, seconds: float = 30) -> Arrived:
        """Wait for a letter of that kind."""
        found: Arrived = until(lambda: next((letter for letter in self.letters(address) if letter.kind == kind), None), seconds=seconds)
        return found


def until(look: Any, *, seconds: float = 30) -> Any:
    """Look until there is something, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing came within {seconds} s"
        time.sleep(0.05)
    return found


@contextmanager
def running(servers: Servers, database_url: str, directory: Path) -> Iterator[System]:
    """Run the system over an empty database until the block is left. Letters, logs and pictures lie in `directory`."""
    keys = f"browser:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    cast = asyncio.run(_people(database_url, KeyRing.parse(keys)))
    with mail_server(directory / "letters", directory / "mail-server.log") as smtp_port:
        built = Foundation(
            servers=servers,
            database_url=database_url,
            settings=_settings(database_url, servers.redis_url, smtp_port, keys),
            directory=directory,
        )
        with _main_app(built) as url, procfile(built.environment | {"APP_URL": url}, built.log) as processes:
            system = System(url=url, database_url=database_url, directory=directory, maildir=built.maildir, cast=cast)
            until(lambda: system.ask(READY) or _fail_if_ended(processes, built.log), seconds=60)
            yield system


def _settings(database_url: str, redis_url: str, smtp_port: int, keys: str) -> dict[str, str]:
    off = ("RELAY_RATE", "DOMAIN_RATE", "DAILY_QUOTA", "LETTERS_PER_CONNECTION", "CONNECTIONS_PER_MINUTE")
    return {
        "DATABASE_URL": database_url,
        "DATABASE_URL_DIRECT": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "MAIL_FROM": "Kestrel Security <security@kestrel.example>",
        "PORTCULLIS_KEYS": keys,
        "PORTCULLIS_CONSOLE_ADDRESS": "127.0.0.1:0",
        "PORTCULLIS_METRICS_ADDRESS": "127.0.0.1:0",
        "PORTCULLIS_PRODUCT_NAME": PRODUCT,
        "PORTCULLIS_ORGANIZATION_RATE": str(LETTERS_A_SECOND),
        # Letters that were on their way at a lift hold back the `lifted` ones for up to two leases, which are a minute each by default.
        "PORTCULLIS_LEASE_SECONDS": "5",
        **{f"PORTCULLIS_{limit}": "0" for limit in off},
    }


@contextmanager
def _main_app(built: Foundation) -> Iterator[str]:
    log = built.directory / "main-app.log"
    command = [sys.executable, "-m", "tests.main_app"]
    process = tied.start(command, at_death=signal.SIGTERM, log=log, environment=built.environment | {"PYTHONPATH": str(ROOT)})
    try:
        yield json.loads(until(lambda: "\n" in log.read_text() and log.read_text().splitlines()[0]))["url"]
    finally:
        tied.stop(process, signal.SIGTERM)


def _fail_if_ended(processes: tied.Process, log: Path) -> bool:
    assert processes.poll() is None, tail(log)
    return False


async def _people(database_url: str, keys: KeyRing) -> Cast:
    db = await asyncpg.connect(database_url)
    try:
        await db.execute(main_app_sql())
        await asyncio.to_thread(migrate, database_url)
        await load_schema(db)
        return await _fill(db, keys)
    finally:
        await db.close()


async def _fill(db: asyncpg.Connection, keys: KeyRing) -> Cast:
    kestrel, heron, osprey = [await an_organization(db, name) for name in ("Kestrel Logistics", "Heron Works", "Osprey Foundation")]
    mara = await a_person(db, kestrel, "Mara Lindqvist", "mara@kestrel.example", admin=True)
    await a_person(db, kestrel, "Ada Byrne", "ada@kestrel.example")
    pia = await a_person(db, kestrel, "Pia Kowalski", "pia@kestrel.example")
    await a_person(db, kestrel, "Sam Okafor", "sam@kestrel.example", password=False, sso=True)
    await a_person(db, kestrel, "Noor Haddad", "noor@kestrel.example", admin=True)
    await a_person(db, kestrel, "Dora Lund", "dora@kestrel.example", idle=LONG_IDLE)
    await a_person(db, kestrel, "Ivo Novak", "ivo@kestrel.example", active=False)
    await a_person(db, osprey, "Olu Adeyemi", "olu@osprey.example")
    hana = await a_person(db, heron, "Hana Sato", "hana@heron.example", admin=True)
    for number in range(1, CROWD):
        await a_person(db, heron, f"Heron {number:02}", f"member{number:02}@heron.example", password=False)
    before = datetime.now(UTC) - 3 * STEP
    holders = {"mara@kestrel.example": mara, "pia@kestrel.example": pia, "hana@heron.example": hana}
    phones = {address: await enrolled(db, user_id, keys=keys, at=before) for address, user_id in holders.items()}
    return Cast(kestrel=kestrel, heron=heron, phones=phones)
