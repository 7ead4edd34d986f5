"""Two worker hosts on one PostgreSQL and one Redis, of which one is cut off in the middle of a run and comes back."""

import asyncio
import json
import os
import shlex
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from jobs.store.roles import Role
from tests.checker import Accepted, Checker, History, message_id_key
from tests.conftest import UNDER_ROLES
from tests.pipeline.hosts import Host, NoHostsError, a_forwarder, a_network
from tests.pipeline.system import KEYS, MASTER_KEY, PROGRAMS, ROOT
from tests.relay import Relay
from tests.role_parts import as_role
from workers.demo import tied
from workers.demo.people import OrganizationSpec, Seeded, seed

MEMBERS = 4_000
REPLY_SECONDS = 0.05
"""How late each reply of a relay comes, so that a run takes seconds and can be interrupted."""

LEASE_SECONDS = 12
"""Longer than a mailer goes on with letters that it has begun to send (10 s); the usual 60 would only make the test longer."""

SECONDS = 90
"""How long anything may take that must happen at all."""

LIMITS = ("RELAY_RATE", "DOMAIN_RATE", "LETTERS_PER_CONNECTION", "CONNECTIONS_PER_MINUTE")


@dataclass(kw_only=True)
class Site:
    """One host with its processes, and the relay that only this host sends to, so that its letters can be told apart."""

    host: Host
    relay: Relay
    log: Path
    environment: dict[str, str]
    processes: list[tied.Process] = field(default_factory=list)

    def start(self, name: str) -> None:
        """Start a process of the Procfile on this host."""
        lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines())
        program, *options = shlex.split({line: command for line, _, command in lines}[name])
        command = self.host.command(str(PROGRAMS / program), *options)
        self.processes.append(tied.start(command, at_death=signal.SIGTERM, log=self.log, environment=self.environment))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what its processes have logged under that name."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if f'"event": "{name}"' in line]

    def letters(self) -> int:
        """Count what this host's relay has accepted."""
        return len(self.relay.accepted)


@dataclass(kw_only=True)
class Installation:
    """Both hosts, and the test's own view of the database."""

    near: Site
    far: Site
    db: asyncpg.Connection
    checker: Checker
    history: History = field(default_factory=History)

    async def require(self, organization: Seeded) -> int:
        """Switch on; returns the run."""
        await self.checker.look(self.history)
        run: int = await self.db.fetchval(
            "SELECT portcullis.require_second_factor($1, $2, 'audit')", organization.organization_id, organization.admin_id
        )
        self.history.over.append(run)
        return run

    async def until(self, condition: Callable[[], Awaitable[Any] | bool]) -> None:
        """Wait until it is so."""
        deadline = monotonic() + SECONDS
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            assert monotonic() < deadline, self.logs()
            await asyncio.sleep(0.05)

    async def until_done(self, run: int) -> dict[str, Any]:
        """Return the status of a run that is done, and whose report has left."""
        await self.until(
            lambda: self.db.fetchval(
                "SELECT r.state = 'done' AND NOT EXISTS (SELECT FROM portcullis.batch b WHERE b.run_id = r.run_id AND b.state = 'open')"
                " FROM portcullis.run r WHERE r.run_id = $1",
                run,
            )
        )
        status: dict[str, Any] = json.loads(await self.db.fetchval("SELECT portcullis.run_status($1)", run))
        return status

    async def held_by(self, site: Site) -> dict[int, int]:
        """Return the tokens of the batches that a host holds."""
        rows = await self.db.fetch(
            "SELECT batch_id, token FROM portcullis.batch WHERE state = 'open' AND leased_until IS NOT NULL AND holder LIKE $1",
            f"{site.host.name}:%",
        )
        return {row["batch_id"]: row["token"] for row in rows}

    async def leads(self, site: Site) -> bool:
        """Say whether the conductor of that host leads."""
        holder = await self.db.fetchval("SELECT holder FROM portcullis.leader WHERE leased_until > now()")
        return bool(holder and holder.startswith(f"{site.host.name}:"))

    async def books(self, run: int) -> list[asyncpg.Record]:
        """Return all that is written of a run, with the transaction that wrote it last."""
        rows: list[asyncpg.Record] = await self.db.fetch(
            "SELECT *, xmin::text FROM portcullis.delivery WHERE run_id = $1 ORDER BY 1, 2, 3", run
        )
        rows += await self.db.fetch("SELECT *, xmin::text FROM portcullis.batch WHERE run_id = $1 ORDER BY batch_id", run)
        return rows

    async def violations(self) -> list[str]:
        """Ask the checker, about what both relays have accepted."""
        accepted = [
            Accepted(recipient=letter.recipient, message_id=letter.message_id, at=letter.at, kind=letter.kind)
            for site in (self.near, self.far)
            for letter in site.relay.accepted
        ]
        return await self.checker.check(self.history, accepted)

    def logs(self) -> str:
        return "\n".join(f"--- {site.host.name}\n{site.log.read_text()[-4000:]}" for site in (self.near, self.far))


@pytest.fixture
async def installation(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with AsyncExitStack() as stack:
        try:
            hosts = stack.enter_context(a_network("near", "far"))
        except NoHostsError as error:
            pytest.skip(f"two hosts can't be had here: {error}")
        db = await asyncpg.connect(database_url)
        stack.push_async_callback(db.close)
        checker = await stack.enter_async_context(Checker.open(database_url, message_id_key=message_id_key(MASTER_KEY)))
        near, far = [await _a_site(stack, host, database_url, redis_url, tmp_path) for host in hosts]
        yield Installation(near=near, far=far, db=db, checker=checker)
        for process in (*near.processes, *far.processes):
            process.terminate()


async def _a_site(stack: AsyncExitStack, host: Host, database_url: str, redis_url: str, directory: Path) -> Site:
    relay = await stack.enter_async_context(Relay(delay_seconds=REPLY_SECONDS))
    mail = await stack.enter_async_context(a_forwarder(host.gateway, relay.port))
    environment = os.environ | {
        "DATABASE_URL": await _seen_from(stack, host, as_role(database_url, Role.WORKER) if UNDER_ROLES else database_url),
        "REDIS_URL": await _seen_from(stack, host, redis_url),
        "SMTP_URL": f"smtp://{host.gateway}:{mail}",
        "MAIL_FROM": "Example Security <security@app.example.com>",
        "APP_URL": "https://app.example.com",
        "PORTCULLIS_KEYS": KEYS,
        "PORTCULLIS_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONPATH": str(ROOT),
        **{f"PORTCULLIS_{name}": "0" for name in LIMITS},
    }
    site = Site(host=host, relay=relay, log=directory / f"{host.name}.log", environment=environment)
    stack.push_async_callback(_stop, site)
    return site


async def _seen_from(stack: AsyncExitStack, host: Host, url: str) -> str:
    """Return the URL under which a host reaches a server that listens on loopback only."""
    parts = urlsplit(url)
    port = await stack.enter_async_context(a_forwarder(host.gateway, parts.port or 0))
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{host.gateway}:{port}"))


async def _stop(site: Site) -> None:
    for process in site.processes:
        await asyncio.to_thread(tied.stop, process, signal.SIGTERM, seconds=25)


@pytest.mark.survives("a host cut off from everything, then back", "I4 I8 I10")
async def test_a_host_cut_off_in_the_middle_of_a_run(installation: Installation) -> None:
    near, far, db = installation.near, installation.far, installation.db
    specs = [
        OrganizationSpec(name=name, domain=f"{name.lower()}.example", members=MEMBERS, with_oddities=False) for name in ("First", "Second")
    ]
    first, second = await seed(db, *specs)
    far.start("conductor")
    await installation.until(lambda: installation.leads(far))
    near.start("conductor")
    for site in (near, far):
        site.start("enforcer")
        site.start("mailer")
    await installation.until(lambda: db.fetchval("SELECT count(*) = 4 FROM portcullis.worker"))

    run = await installation.require(first)
    await installation.until(lambda: near.letters() > 50 and far.letters() > 50)
    enforcers = await db.fetch(
        "SELECT DISTINCT split_part(holder, ':', 1) AS host FROM portcullis.batch WHERE run_id = $1 AND stage = 'enforce'", run
    )
    assert {row["host"] for row in enforcers} == {"near", "far"}, "work spreads"

    far.host.pull_cable()
    installation.history.mailer_crashes += 1  # it may have handed over letters that nobody knows of, like one that was killed
    held = await installation.held_by(far)
    sent = far.letters()
    assert held
    assert await db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run) == "running"

    async def were_taken_over() -> bool:
        rows = await db.fetch("SELECT batch_id, token FROM portcullis.batch WHERE batch_id = ANY ($1)", list(held))
        return all(row["token"] > held[row["batch_id"]] for row in rows)

    await installation.until(were_taken_over)
    await installation.until(lambda: installation.leads(near))
    assert far.letters() - sent <= 2 * 16, "what was on the wire"

    far.host.plug_in()
    status = await installation.until_done(run)
    assert (status["state"], status["sessions_ended"]) == ("done", first.sessions_ended)
    assert status["letters"]["accepted"] == first.members - first.letters["suppressed"]
    books = await installation.books(run)
    obsolete = installation.far.events
    await installation.until(lambda: {event["batch"] for event in obsolete("batch_obsolete")} >= held.keys())
    assert await installation.books(run) == books, "zombies write nothing"

    before = (near.letters(), far.letters())
    status = await installation.until_done(await installation.require(second))
    assert (status["state"], status["sessions_ended"]) == ("done", second.sessions_ended)
    assert near.letters() > before[0]
    assert far.letters() > before[1], "it is back at work"
    assert await installation.violations() == []
