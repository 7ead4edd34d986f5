"""Other designs on the same people, the same servers and the same sink, each started as its users start it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg
import redis

from tests.benchmarks.ground import Crowd, Ground, a_valkey, connected, postmaster
from tests.benchmarks.peers.work import RECORD
from tests.benchmarks.sink import a_sink
from tests.benchmarks.system import BenchError, count_live, insist, program
from tests.benchmarks.watch import watching
from tests.benchmarks.whole_run import Measured
from workers.demo import tied
from workers.demo.people import Seeded

READY_SECONDS = 60
STALL_SECONDS = 60
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A design. `command` gets the organization where it does everything by itself; one with a queue is told by `send`."""

    name: str
    command: Callable[[int], Sequence[str]]
    send: str | None = None
    """Which program's client puts tasks into the queue."""


PEERS = (
    Peer(
        name="Celery: a task and a connection per user",
        command=lambda _: [program("celery"), "--app", "tests.benchmarks.peers.celery_per_user", "worker", "--loglevel", "WARNING"],
        send="celery_per_user",
    ),
    Peer(
        name="dramatiq: a task and a connection per user",
        command=lambda _: [program("dramatiq"), "tests.benchmarks.peers.dramatiq_per_user"],
        send="dramatiq_per_user",
    ),
    Peer(
        name="one loop, a connection per user",
        command=lambda organization: [sys.executable, "-m", "tests.benchmarks.peers.one_loop", str(organization)],
    ),
    Peer(
        name="sets, aiosmtplib reused, EmailMessage per letter",
        command=lambda organization: [sys.executable, "-m", "tests.benchmarks.peers.message_per_letter", str(organization)],
    ),
)

TIMES = """
    SELECT extract(epoch FROM (SELECT min(at) FROM peer.started))::float AS begin,
           extract(epoch FROM max(ended_at) FILTER (WHERE sessions_ended > 0))::float AS last_session,
           extract(epoch FROM max(mailed_at))::float AS last_letter,
           count(*) AS members, count(mailed_at) AS letters, sum(sessions_ended)::integer AS sessions
    FROM peer.record
"""


async def measure_peer(ground: Ground, crowd: Crowd, peer: Peer) -> Measured:
    """Run one on the crowd's first organization.

    Raises:
        BenchError: It ended wrongly, or not at all.
    """
    organization = crowd.organizations[0]
    async with ground.copy_of(crowd) as database_url, connected(database_url) as db:
        await db.execute(RECORD)
        with ExitStack() as stack:
            redis_url, sink = stack.enter_context(a_valkey()), stack.enter_context(a_sink(ground.folder))
            with redis.Redis.from_url(redis_url) as client:
                empty = client.info("memory")["used_memory"]
            log = ground.folder / "peers.log"
            own = ground.settings(database_url, redis_url, sink.port) | {
                "LETTER": str(ground.letter),
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            process = tied.start(peer.command(organization.organization_id), at_death=signal.SIGTERM, log=log, environment=os.environ | own)
            stack.callback(tied.stop, process, signal.SIGTERM)
            ids = {"peer": [process.pid], "postgres": await postmaster(db), "sink": [sink.process.pid]}
            watch = stack.enter_context(watching(**ids))
            if peer.send:
                await _start_by_message(db, peer.send, redis_url, organization)
            await _until_done(db, organization, process)
            times = await db.fetchrow(TIMES)
            with redis.Redis.from_url(redis_url) as client:
                grown = client.info("memory")["used_memory_peak"] - empty
            await _check(db, organization, times, sink.letters())
            return Measured(
                members=organization.members,
                letters=times["letters"],
                last_session=times["last_session"] - times["begin"],
                last_letter=times["last_letter"] - times["begin"],
                redis_peak=grown if peer.send else 0,
                resident=dict(watch.resident),
                cpu_letters=watch.cpu(times["begin"], times["last_letter"]),
                foreign_share=watch.foreign_share(times["begin"], times["last_letter"]),
            )


async def _start_by_message(db: asyncpg.Connection, module: str, redis_url: str, organization: Seeded) -> None:
    """Wait until a worker has answered, then ask for the organization."""
    await _send(module, redis_url, "get_ready")
    deadline = time.monotonic() + READY_SECONDS
    while not await db.fetchval("SELECT EXISTS (SELECT FROM peer.ready)"):
        if time.monotonic() > deadline:
            raise BenchError(f"the workers of {module} did not get ready")
        await asyncio.sleep(0.05)
    await db.execute("INSERT INTO peer.started DEFAULT VALUES")
    await _send(module, redis_url, "enforce_organization", organization.organization_id)


async def _send(module: str, redis_url: str, task: str, *arguments: int) -> None:
    """Put one task into the queue with the peer's own client, in a process of its own: its broker is its own."""
    how = {"celery_per_user": f"peer.{task}.delay(*{arguments!r})", "dramatiq_per_user": f"peer.{task}.send(*{arguments!r})"}[module]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", f"from tests.benchmarks.peers import {module} as peer; {how}"),
        env=os.environ | {"REDIS_URL": redis_url, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if await process.wait() != 0:
        raise BenchError(f"{module} could not be told to {task}")


async def _until_done(db: asyncpg.Connection, organization: Seeded, process: tied.Process) -> None:
    wanted, seen, deadline = organization.members - organization.letters["suppressed"], -1, time.monotonic() + STALL_SECONDS
    while (mailed := await db.fetchval("SELECT count(mailed_at) FROM peer.record")) < wanted:
        if mailed != seen:
            seen, deadline = mailed, time.monotonic() + STALL_SECONDS
        if time.monotonic() > deadline or process.poll() not in {None, 0}:
            raise BenchError(f"a peer goes no further than {mailed} letters")
        await asyncio.sleep(LOOK_SECONDS)


async def _check(db: asyncpg.Connection, organization: Seeded, times: asyncpg.Record, letters: int) -> None:
    owed = organization.members - organization.letters["suppressed"]
    seen = {
        "members": times["members"],
        "sessions ended": times["sessions"],
        "sessions kept": await count_live(db, organization),
        "letters": times["letters"],
        "letters at the sink": letters,
    }
    wanted = {
        "members": organization.members,
        "sessions ended": organization.sessions_ended,
        "sessions kept": organization.sessions_kept,
        "letters": owed,
        "letters at the sink": owed,
    }
    insist("a peer", seen, wanted)
