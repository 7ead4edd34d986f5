"""What a nemesis works on: servers, network, relay, worker processes and people, and the checker's history of it all.

The test's own statements go past the proxy. They are tried again until PostgreSQL is there; whatever they change about people is
between two pictures, so that the checker knows what may have been true at any moment.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import asyncpg
import redis

from jobs.keys import KeyRing
from jobs.store.roles import Role
from tests.checker import Checker, Evidence, History, Stop, message_id_key, read_log
from tests.conftest import UNDER_ROLES
from tests.faults.crew import Crew
from tests.faults.proxy import Proxy
from tests.faults.servers import OwnPostgres, OwnRelay
from tests.integration.broker_app.own_valkey import OwnValkey
from tests.role_parts import as_role
from workers.demo.main_app import main_app_sql
from workers.demo.patience import READY
from workers.demo.people import OrganizationSpec, Seeded, seed
from workers.migrations import migrate

T = TypeVar("T")

MASTER = bytes(range(32))
RING = f"faults:{base64.b64encode(MASTER).decode()}"
PASSWORD = "canary-of-the-relay"
LEASE_SECONDS = 5
CONNECTIONS = 4
QUEUES = ("enforce", "notify")
PATIENCE_SECONDS = 60
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)

CHAOS = """
    CREATE SCHEMA chaos;
    CREATE TABLE chaos.fault (code text NOT NULL, chance double precision NOT NULL);
    CREATE FUNCTION chaos.strike() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE struck text;
    BEGIN
        IF current_setting('application_name') = 'portcullis' THEN
            SELECT code INTO struck FROM chaos.fault WHERE random() < chance LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'struck' USING ERRCODE = struck;
            END IF;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos AFTER UPDATE ON app.sessions FOR EACH STATEMENT EXECUTE FUNCTION chaos.strike();
    CREATE TRIGGER chaos AFTER UPDATE ON portcullis.delivery FOR EACH STATEMENT EXECUTE FUNCTION chaos.strike();
"""
"""Has any statement of a worker fail with an error of its own choice, at the end of it."""


@dataclass(kw_only=True)
class Ground:
    """The whole system. `folder` keeps every log."""

    folder: Path
    postgres: OwnPostgres
    proxy: Proxy
    valkey: OwnValkey
    relay: OwnRelay
    crew: Crew
    organizations: list[Seeded]
    history: History
    database: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    told: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """Violations that only somebody who watches can see."""
    most: dict[str, float] = field(default_factory=dict)
    """The largest values that were sampled."""

    @property
    def failpoints(self) -> Path:
        """The folder that arms them."""
        return self.folder / "failpoints"

    def say(self, what: str) -> None:
        """Note what was done, for whoever reads the report of a failure."""
        self.told.append(f"{asyncio.get_running_loop().time() - self._began:6.1f} s  {what}")

    def __post_init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    async def connect(self) -> asyncpg.Connection:
        """Open a connection of the test's own."""
        return await asyncpg.connect(self.postgres.url(database=self.database), timeout=5, server_settings={"application_name": "nemesis"})

    async def ask(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Ask or change something over a connection of its own, again and again until PostgreSQL is there.

        Raises:
            asyncpg.PostgresError: Of a class that is no weather: the question itself is wrong, or was refused.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                connection = await self.connect()
                try:
                    return await question(connection)
                finally:
                    with suppress(*AWAY):
                        await connection.close(timeout=1)
            except AWAY as away:
                is_answer = isinstance(away, asyncpg.PostgresError) and (away.sqlstate or "")[:2] not in {"08", "53", "57", "40", "58"}
                if is_answer or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def value(self, query: str, *arguments: Any) -> Any:
        """Return one value."""
        return await self.ask(lambda db: db.fetchval(query, *arguments))

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return rows."""
        rows: list[asyncpg.Record] = await self.ask(lambda db: db.fetch(query, *arguments))
        return rows

    async def change(self, statement: str, *arguments: Any) -> None:
        """Change something."""
        await self.ask(lambda db: db.execute(statement, *arguments))

    # The checker's side.

    async def look(self) -> None:
        """Add a picture of everybody; what did not change since the last one is shared with it."""
        await self.ask(self._look)

    async def _look(self, db: asyncpg.Connection) -> None:
        pictures = self.history.pictures
        before = pictures[-1].facts if pictures else {}
        await Checker(db, b"").look(self.history)
        taken = pictures.pop()
        facts = {who: before[who] if before.get(who) == row else row for who, row in taken.facts.items()}
        pictures.append(replace(taken, facts=facts))

    async def note_stops(self) -> None:
        """Write down which runs were stopped: whoever stopped them had the answer by now."""
        noted = {stop.run_id for stop in self.history.stops}
        rows = await self.rows(
            "SELECT r.run_id, clock_timestamp() AS at FROM portcullis.run r JOIN portcullis.policy p USING (organization_id)"
            " WHERE r.state = 'cancelled' OR NOT p.required OR p.epoch <> r.epoch"
        )
        self.history.stops += [Stop(run_id=row["run_id"], at=row["at"]) for row in rows if row["run_id"] not in noted]

    async def evidence(self) -> Evidence:
        """Gather everything for the checker."""
        self.history.mailer_crashes += self.crew.ended["mailer"]
        self.history.over = [row["run_id"] for row in await self.rows("SELECT run_id FROM portcullis.run")]
        key = message_id_key(MASTER)
        return await self.ask(lambda db: Checker(db, key).gather(self.history, read_log(self.relay.log)))

    # Redis.

    def redis(self) -> "redis.Redis":
        """Return a client that does not wait."""
        return redis.Redis.from_url(self.valkey.url, socket_timeout=1, socket_connect_timeout=1)

    def depth(self) -> int | None:
        """Count the messages that wait; `None`: Redis is away."""
        try:
            with self.redis() as client:
                return sum(int(client.llen(f"portcullis:{queue}{part}")) for queue in QUEUES for part in ("", ".first"))
        except redis.RedisError:
            return None


def settings(ground_folder: Path, database_url: str, redis_url: str, relay_port: int) -> dict[str, str]:
    """Return the environment of worker processes."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": f"smtp://portcullis:{PASSWORD}@127.0.0.1:{relay_port}",
        "MAIL_FROM": "Security <security@faults.example>",
        "APP_URL": "https://app.faults.example",
        "PORTCULLIS_KEYS": RING,
        "PORTCULLIS_RELAY_RATE": "1000",
        "PORTCULLIS_DOMAIN_RATE": "0",
        "PORTCULLIS_CONNECTIONS": str(CONNECTIONS),
        "PORTCULLIS_CONNECTIONS_PER_MINUTE": "0",
        "PORTCULLIS_LEASE_SECONDS": str(LEASE_SECONDS),
        "PORTCULLIS_BREAKER_SECONDS": "1",
        "PORTCULLIS_FAILPOINTS": str(ground_folder / "failpoints"),
    }


def ring() -> KeyRing:
    """Return the key ring of the workers: a forger may have it too."""
    return KeyRing.parse(RING)


@asynccontextmanager
async def a_ground(folder: Path, random: Random, *, members: int, small: int) -> AsyncIterator[Ground]:
    """Start everything and wait until it works: one organization of `members`, and `small` ones of 5 to 30 that share people with it."""
    (folder / "failpoints").mkdir(parents=True)
    (folder / "postgres").mkdir()
    async with AsyncExitStack() as stack:
        postgres, valkey, relay = OwnPostgres(folder / "postgres"), OwnValkey(folder), OwnRelay(folder)
        for server in (postgres, valkey, relay):
            server.start()
        stack.callback(relay.kill)
        stack.callback(valkey.stop)
        stack.callback(postgres.stop)
        proxy = await stack.enter_async_context(Proxy(postgres.port))
        organizations = await _install(postgres, random, members=members, small=small)
        url = postgres.url(port=proxy.port)
        environment = settings(folder, as_role(url, Role.WORKER) if UNDER_ROLES else url, valkey.url, relay.port)
        crew = Crew(environment, folder, conductor=2, enforcer=2, mailer=2)
        stack.callback(crew.stop)
        crew.start()
        ground = Ground(
            folder=folder,
            postgres=postgres,
            proxy=proxy,
            valkey=valkey,
            relay=relay,
            crew=crew,
            organizations=organizations,
            history=History(connections=CONNECTIONS, most_hints=2000),
            database="postgres",
        )
        await _until_ready(ground)
        supervising = asyncio.create_task(crew.supervise())
        stack.callback(supervising.cancel)
        yield ground


async def _install(postgres: OwnPostgres, random: Random, *, members: int, small: int) -> list[Seeded]:
    db = await asyncpg.connect(postgres.url())
    try:
        await db.execute(main_app_sql())
        await asyncio.to_thread(migrate, postgres.url(), with_roles=UNDER_ROLES)
        if UNDER_ROLES:
            await db.execute("ALTER FUNCTION directory.end_sessions SECURITY DEFINER")
        specs = [OrganizationSpec(name="Large", domain="large.example", members=members)]
        specs += [
            OrganizationSpec(
                name=f"Small {n}", domain=f"small{n}.example", members=random.randint(8, 30), shared=3, with_oddities=n % 2 == 0
            )
            for n in range(small)
        ]
        organizations = await seed(db, *specs, seed=random.randint(1, 1_000_000))
        async with Checker.open(postgres.url(), message_id_key=b""):  # the witness stays
            await db.execute(CHAOS)
    finally:
        await db.close()
    return organizations


async def _until_ready(ground: Ground) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not await ground.value(READY):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"the workers were not ready: see the logs in {ground.folder}")
        await asyncio.sleep(0.1)
