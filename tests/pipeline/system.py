"""The processes of the Procfile, each as its line says, beside a scripted relay: to be killed, doubled, stopped and started again.

One system serves a module's tests, each with organizations of its own; what happened to it is kept in one history, because a checker
looks at everything that is in the database.
"""

import asyncio
import base64
import json
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import asyncpg
import redis

from jobs.store.roles import Role
from tests.builders import Organization
from tests.checker import Accepted, Checker, History, Stop, message_id_key, read_log
from tests.conftest import UNDER_ROLES
from tests.relay import Rule
from tests.role_parts import acting_as, as_process
from workers.demo import tied

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
MASTER_KEY = b"a key ring's master key in tests"
KEYS = f"k1:{base64.b64encode(MASTER_KEY).decode()}"
SECONDS = 60
"""How long anything may take that must happen at all; nothing here is measured."""

READY = {
    "conductor": "SELECT count(*) FROM portcullis.leader WHERE leased_until > now()",
    "enforcer": "SELECT count(*) FROM portcullis.worker WHERE queue = 'enforce' AND seen_at > now() - interval '8 seconds'",
    "mailer": "SELECT count(*) FROM portcullis.worker WHERE queue = 'notify' AND seen_at > now() - interval '8 seconds'",
}
QUEUES = {"enforcer": "enforce", "mailer": "notify"}


@dataclass
class System:
    """Everything that runs, and what happened to it so far."""

    directory: Path
    database_url: str
    redis_url: str
    roles: bool = UNDER_ROLES
    processes: dict[str, list[tied.Process]] = field(default_factory=dict)
    relay: tied.Process | None = None
    relay_port: int = 0
    history: History = field(default_factory=History)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are told: the names of the README's table, and no limits."""
        limits = ("RELAY_RATE", "DOMAIN_RATE", "LETTERS_PER_CONNECTION", "CONNECTIONS_PER_MINUTE")
        return os.environ | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SMTP_URL": f"smtp://127.0.0.1:{self.relay_port}",
            "MAIL_FROM": "Example Security <security@app.example.com>",
            "APP_URL": "https://app.example.com",
            "PORTCULLIS_KEYS": KEYS,
            "PYTHONPATH": str(ROOT),
            **{f"PORTCULLIS_{name}": "0" for name in limits},
        }

    # The relay.

    def start_relay(self, *options: str) -> None:
        """Start the relay, on the port that it had before."""
        log = self.directory / "relay"
        (self.directory / "rules").touch()
        begun = len(log.read_text()) if log.exists() else 0
        files = ("--log", str(self.directory / "accepted"), "--rules", str(self.directory / "rules"))
        command = [sys.executable, "-m", "tests.relay", "--port", str(self.relay_port), *files, *options]
        self.relay = tied.start(command, at_death=signal.SIGTERM, log=log, environment=self.environment)
        deadline = monotonic() + SECONDS
        while "\n" not in (said := log.read_text()[begun:]):
            assert monotonic() < deadline, said
            sleep(0.02)
        self.relay_port = int(said.partition("\n")[0].rpartition(":")[2])

    def stop_relay(self) -> None:
        """Let nobody listen there any more."""
        assert self.relay is not None
        tied.stop(self.relay, signal.SIGTERM)
        self.relay = None

    def obey(self, *rules: Rule) -> None:
        """Have the relay follow these rules and no others."""
        (self.directory / "rules").write_text("".join(json.dumps(asdict(rule)) + "\n" for rule in rules))
        if self.relay is not None:
            self.relay.send_signal(signal.SIGHUP)

    def accepted(self) -> list[Accepted]:
        """Return what the relay has taken since the beginning."""
        log = self.directory / "accepted"
        return read_log(log) if log.exists() else []

    # The processes.

    def start(self, name: str) -> tied.Process:
        """Start one more process of that line of the Procfile."""
        lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines())
        program, *options = shlex.split({line: command for line, _, command in lines}[name])
        command = [str(PROGRAMS / program), *options]
        environment = self.environment | ({"DATABASE_URL": as_process(self.database_url, name)} if self.roles else {})
        process = tied.start(command, at_death=signal.SIGTERM, log=self.directory / f"{name}.log", environment=environment)
        self.processes.setdefault(name, []).append(process)
        return process

    def kill(self, name: str) -> None:
        """Kill every process of that name, and their children, without a word."""
        for process in self.processes.pop(name, []):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)
        self.history.mailer_crashes += name == "mailer"

    async def terminate(self, name: str, *, but: int = 0) -> list[int]:
        """Ask the processes of that name to end, the oldest first, all but so many; returns their exit statuses."""
        running = self.processes.pop(name, [])
        self.processes[name] = running[len(running) - but :]
        ending = running[: len(running) - but]
        for process in ending:
            process.send_signal(signal.SIGTERM)
        return [await asyncio.to_thread(process.wait, SECONDS) for process in ending]

    def stop(self) -> None:
        """End everything that was started here."""
        running = [process for processes in self.processes.values() for process in processes]
        for process in running:
            process.terminate()
        for process in running:
            tied.stop(process, signal.SIGTERM, seconds=25)
        if self.relay is not None:
            self.stop_relay()

    def logs(self) -> str:
        """Return the ends of all logs, for whoever reads a failure."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.directory.glob("*.log")))


@dataclass(kw_only=True)
class Visit:
    """One test's view of the system: connections of its own, on its own loop."""

    system: System
    db: asyncpg.Connection
    app: asyncpg.Connection
    checker: Checker
    redis: "redis.Redis"

    async def all_up(self) -> None:
        """Start whatever is missing, and return when it is at work."""
        for name in READY:
            if not [process for process in self.system.processes.get(name, []) if process.poll() is None]:
                self.system.start(name)
        for query in READY.values():
            await self.until(lambda query=query: self.db.fetchval(query))  # type: ignore[misc]

    async def require(self, organization: Organization) -> int:
        """Switch on; returns the run."""
        await self.checker.look(self.system.history)
        run: int = await self.app.fetchval(
            "SELECT portcullis.require_second_factor($1, $2, 'audit')", organization.id, organization.admin.id
        )
        self.system.history.over.append(run)
        return run

    async def lift(self, organization: Organization, run: int) -> None:
        await self.app.execute("SELECT portcullis.lift_second_factor($1, $2, 'over')", organization.id, organization.admin.id)
        self.system.history.stops.append(Stop(run_id=run, at=await self.checker.now()))

    async def status(self, run: int) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(await self.db.fetchval("SELECT portcullis.run_status($1)", run))
        return status

    async def until_done(self, run: int) -> dict[str, Any]:
        """Return the status of a run that is done, and whose report has left."""

        async def is_done() -> bool:
            status = await self.status(run)
            return bool(status["state"] != "running" and status["batches"]["open"] == 0)

        await self.until(is_done)
        return await self.status(run)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until it is so, and count the hints in Redis meanwhile."""
        deadline = monotonic() + SECONDS
        while not (answer := await condition()):
            assert monotonic() < deadline, self.system.logs()
            self.system.history.hints.append(self.hints())
            await asyncio.sleep(0.02)
        return answer

    async def until_accepted(self, count: int) -> None:
        """Wait until the relay has accepted so many more letters than it has now."""
        before = len(self.system.accepted())

        async def are_accepted() -> bool:
            return len(self.system.accepted()) >= before + count

        await self.until(are_accepted)

    def hints(self) -> int:
        """Count the messages that wait in Redis or are taken by somebody."""
        waiting = sum(int(str(self.redis.llen(f"portcullis:{queue}{part}"))) for queue in QUEUES.values() for part in ("", ".first"))
        taken = sum(int(str(self.redis.hlen(key))) for key in self.redis.scan_iter("portcullis:*.taken.*"))
        return waiting + taken

    @asynccontextmanager
    async def a_batch_that_can_not_go_on(self, organization: Organization) -> Any:
        """Hold a session that somebody must lose; inside, the enforcer is in the middle of the transaction that would end it."""
        blocker = await asyncpg.connect(self.system.database_url)
        try:
            async with blocker.transaction():
                victim = organization.members[len(organization.members) // 2]
                await blocker.execute("SELECT FROM app.sessions WHERE user_id = $1 FOR UPDATE", victim.id)
                yield lambda: self.until(self._somebody_waits)
        finally:
            await blocker.close()

    async def _somebody_waits(self) -> Any:
        return await self.db.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portcullis'"
            " AND wait_event_type = 'Lock'"
        )

    async def let_leases_end(self, name: str) -> None:
        """Let so much time pass that nobody of that name, all of whom were killed, holds anything."""
        await self.db.execute(
            "UPDATE portcullis.batch SET leased_until = now() - interval '1 second' WHERE queue = $1 AND leased_until IS NOT NULL",
            QUEUES[name],
        )

    async def violations(self) -> list[str]:
        return await self.checker.check(self.system.history, self.system.accepted())


@asynccontextmanager
async def visiting(system: System) -> Any:
    """Visit a system on which everything is up and the relay obeys no rule; afterwards everything must be right."""
    system.obey()
    async with AsyncExitStack() as stack:
        db = await asyncpg.connect(system.database_url)
        stack.push_async_callback(db.close)
        app = await stack.enter_async_context(acting_as(system.database_url, Role.APP)) if system.roles else db
        checker = await stack.enter_async_context(Checker.open(system.database_url, message_id_key=message_id_key(MASTER_KEY)))
        client = stack.enter_context(redis.Redis.from_url(system.redis_url))
        visit = Visit(system=system, db=db, app=app, checker=checker, redis=client)
        await visit.all_up()
        yield visit
        assert await visit.violations() == [], system.logs()


@contextmanager
def a_system(directory: Path, database_url: str, redis_url: str, *, roles: bool = UNDER_ROLES) -> Iterator[System]:
    """Start the relay; the processes come up with the first visit. Everything ends with it. `roles`: each process has its own."""
    system = System(directory, database_url, redis_url, roles)
    try:
        system.start_relay()
        yield system
    finally:
        system.stop()
