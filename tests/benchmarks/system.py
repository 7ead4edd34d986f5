"""Our own processes, as the Procfile has them, on a database of the bench; and what a run of theirs came to."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests.benchmarks.ground import Ground, a_valkey, connected, postmaster
from tests.benchmarks.sink import Sink, a_sink, own_sink
from tests.benchmarks.watch import Watch, watching
from workers.demo import tied
from workers.demo.patience import READY
from workers.demo.people import Seeded
from workers.demo.processes import PROCFILE, tail

READY_SECONDS = 60
STALL_SECONDS = 90
SETTLE_SECONDS = 0.5
"""Between the start of the processes and the first switch, so that none is still starting."""


class BenchError(Exception):
    """A run did not come to its end, or its end is not what it must be. Says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """How many processes of each kind; the Procfile says how many threads each has."""

    enforcers: int = 1
    mailers: int = 1

    @property
    def names(self) -> list[str]:
        """Names of the Procfile's lines, one for each process."""
        return ["conductor", *["enforcer"] * self.enforcers, *["mailer"] * self.mailers]


@dataclass(slots=True, kw_only=True)
class System:
    """A running system. `db` is the bench's own connection."""

    db: asyncpg.Connection
    sink: Sink
    watch: Watch
    redis_url: str
    redis_before: int
    log: Path
    processes: dict[str, list[tied.Process]]

    async def switch_on(self, organization: Seeded) -> int:
        """Flip the switch; returns the run."""
        run: int = await self.db.fetchval(
            "SELECT portcullis.require_second_factor($1, $2, 'the bench')", organization.organization_id, organization.admin_id
        )
        return run

    async def until_done(self, run: int, *, sleep: float = 0.02) -> dict[str, Any]:
        """Return the run's status when it is over and the admin's report is out."""
        await self._until("SELECT state <> 'running' FROM portcullis.run WHERE run_id = $1", run, sleep=sleep)
        await self._until("SELECT NOT EXISTS (SELECT FROM portcullis.batch WHERE run_id = $1 AND state = 'open')", run, sleep=sleep)
        status: dict[str, Any] = json.loads(await self.db.fetchval("SELECT portcullis.run_status($1)", run))
        return status

    def redis_peak(self) -> int:
        """Return by how many octets Redis grew at its largest, beyond what it had empty."""
        return _memory(self.redis_url, "used_memory_peak") - self.redis_before

    async def _until(self, question: str, run: int, *, sleep: float) -> None:
        # A large run takes minutes; what must not happen is that nothing moves.
        moved, deadline = -1, time.monotonic() + STALL_SECONDS
        while not await self.db.fetchval(question, run):
            await asyncio.sleep(sleep)
            self._look_after()
            if time.monotonic() > deadline:
                now = await self.db.fetchval(
                    "SELECT count(*) FILTER (WHERE state = 'done') + sum(accepted) FROM portcullis.batch WHERE run_id = $1", run
                )
                if now == moved:
                    raise BenchError(f"run {run} has not moved for {STALL_SECONDS} s. The end of {self.log}:\n{tail(self.log)}")
                moved, deadline = now, time.monotonic() + STALL_SECONDS

    def _look_after(self) -> None:
        for name, processes in self.processes.items():
            if any(process.poll() is not None for process in processes):
                raise BenchError(f"a process of the kind {name} has ended. The end of {self.log}:\n{tail(self.log)}")


@asynccontextmanager
async def a_system(ground: Ground, database_url: str, *, crew: Crew, sample: bool = False) -> AsyncIterator[System]:
    """Start one, wait until it is ready, and stop it. With `sample` it sends to our own sink, which keeps a letter."""
    async with AsyncExitStack() as stack:
        redis_url = stack.enter_context(a_valkey())
        before = _memory(redis_url, "used_memory")
        sink = stack.enter_context(own_sink(ground.folder, sample=ground.letter) if sample else a_sink(ground.folder))
        log = ground.folder / "processes.log"
        environment = os.environ | ground.settings(database_url, redis_url, sink.port)
        processes: dict[str, list[tied.Process]] = {}
        for name in crew.names:
            process = tied.start(_command(name), at_death=signal.SIGTERM, log=log, environment=environment)
            stack.callback(tied.stop, process, signal.SIGTERM, seconds=25)
            processes.setdefault(name, []).append(process)
        db = await stack.enter_async_context(connected(database_url))
        await _until_ready(db, crew, log, processes)
        ids = {name: [process.pid for process in each] for name, each in processes.items()}
        watch = stack.enter_context(watching(**ids, postgres=await postmaster(db), redis=[_process_id(redis_url)], sink=[sink.process.pid]))
        await asyncio.sleep(SETTLE_SECONDS)
        yield System(db=db, sink=sink, watch=watch, redis_url=redis_url, redis_before=before, log=log, processes=processes)


async def check_end(system: System, organization: Seeded, status: dict[str, Any]) -> None:
    """Compare a run's end with what the people were made for, by SQL over the main app's own tables too.

    Raises:
        BenchError: It is not as it must be; whatever was measured is worth nothing.
    """
    owed = organization.members - organization.letters["suppressed"]
    seen = {
        "state": status["state"],
        "members": status["members"],
        "verdicts": {name: count for name, count in status["verdicts"].items() if count},
        "sessions ended": status["sessions_ended"],
        "sessions kept": await count_live(system.db, organization),
        "letters accepted": status["letters"]["accepted"],
        "letters suppressed": status["letters"]["suppressed"],
    }
    wanted = {
        "state": "done",
        "members": organization.members,
        "verdicts": dict(organization.verdicts),
        "sessions ended": organization.sessions_ended,
        "sessions kept": organization.sessions_kept,
        "letters accepted": owed,
        "letters suppressed": organization.letters["suppressed"],
    }
    insist("the run", seen, wanted)


async def count_live(db: asyncpg.Connection, organization: Seeded) -> int:
    """Count the live sessions of an organization's members."""
    live: int = await db.fetchval(
        "SELECT count(*) FROM directory.session s JOIN app.memberships m ON m.user_id = s.user_id WHERE m.organization_id = $1",
        organization.organization_id,
    )
    return live


def insist(what: str, seen: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise `BenchError` where something differs."""
    differing = [f"{name} is {seen[name]}, must be {wanted[name]}" for name in wanted if seen[name] != wanted[name]]
    if differing:
        raise BenchError(f"{what} ended wrongly: {'; '.join(differing)}")


def seconds_between(status: dict[str, Any], begin: str, end: str) -> float:
    """Return the seconds between two times of a run's status."""
    return moment(status, end) - moment(status, begin)


def moment(status: dict[str, Any], name: str) -> float:
    """Return one of its times as Unix time."""
    return datetime.fromisoformat(status[name]).timestamp()


def program(name: str) -> str:
    """Return where a program of our own virtual environment is."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise BenchError(f"{name} is not installed; run `make .venv`")
    return found


def _command(name: str) -> Sequence[str]:
    line = next(line for line in PROCFILE.read_text().splitlines() if line.startswith(f"{name}:"))
    command, *arguments = shlex.split(line.partition(":")[2])
    return [program(command), *arguments]


async def _until_ready(db: asyncpg.Connection, crew: Crew, log: Path, processes: dict[str, list[tied.Process]]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    workers = crew.enforcers + crew.mailers
    while not (await db.fetchval(READY) and await db.fetchval("SELECT count(*) FROM portcullis.worker") >= workers):
        ended = any(process.poll() is not None for each in processes.values() for process in each)
        if ended or time.monotonic() > deadline:
            raise BenchError(f"the processes did not get ready. The end of {log}:\n{tail(log)}")
        await asyncio.sleep(0.1)


def _memory(redis_url: str, name: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.info("memory")[name])


def _process_id(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.info("server")["process_id"])
