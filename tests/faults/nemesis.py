"""Break everything, in an order that the seed decides, while people and admins go on; then stop, wait, and let the checker judge.

    make faults MINUTES=20 SEED=7

The schedule (which fault begins when, how long each lasts, what people want) follows from the seed alone. What it meets does not: the
system under test is real and its processes run as they like.
"""

import asyncio
import itertools
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

import jobs
import workers
from jobs.failpoints import REACHED
from tests import record
from tests.checker import find_violations
from tests.faults import messages
from tests.faults.ground import LEASE_SECONDS, PASSWORD, QUEUES, Ground, a_ground, ring
from tests.faults.people import Admins, People
from tests.faults.weather import FAULTS, Fault
from workers.demo.people import Seeded

BEFORE = {"after_reclaim": "after_mark"}
"""Places that are only reached after a process was killed at another one."""

ELSEWHERE = {"before_file_away": "tests/integration/test_cli_bounces.py"}
"""Places in commands, which no process of a run comes by; the test that kills one there."""

REACH = re.compile(r"\breach\(\"(\w+)\"\)")

LARGEST_BACKOFF_SECONDS = 110
"""A conductor that lost its Redis and its lead, then a relay's breaker at its third step, then a doubt's half minute."""
BOUND_SECONDS = LEASE_SECONDS + 1 + LARGEST_BACKOFF_SECONDS
"""I10: lease + scan interval + largest backoff."""
BLINK_SECONDS = 0.5
"""Below this, two times are the same: a look of the test, and the noise of a busy machine."""
LADDER_SECONDS = 1000
"""The long run waits out what recipients deferred: 1 and 5 minutes, and a quarter, before it no longer holds its run."""
WORKER_BYTES = 150 * 2**20
WORKER_CONNECTIONS = 5 * 4 + 2 * 3
"""Of PostgreSQL: threads + 3 for each enforcer and mailer, 3 for each conductor."""
UNBORN = 6 * 5
"""Connections that processes just killed may leave behind for a moment."""


def failpoints() -> list[str]:
    """Return the names of all failpoints of the processes that carry out runs, as they stand in the source."""
    folders = [Path(jobs.__path__[0]), Path(workers.__path__[0])]
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.rglob("*.py"))]
    return sorted({name for source in sources for name in REACH.findall(source)} - ELSEWHERE.keys())


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run of the nemesis came to. No `violations`, nothing `unreached`: everything held."""

    seed: int
    seconds: float
    recovered_in: float
    faults: dict[str, int]
    counts: dict[str, float]
    violations: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        happened = ", ".join(f"{count} x {says}" for says, count in sorted(self.faults.items()))
        counts = ", ".join(f"{name} {value:g}" for name, value in self.counts.items())
        lines = [f"seed {self.seed}: {self.seconds:.0f} s of faults, over {self.recovered_in:.0f} s after the last one", happened, counts]
        return "\n".join([*lines, *(f"  not reached: {name}" for name in self.unreached), *(f"  {line}" for line in self.violations)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the schedule."""

    at: float
    fault: Fault
    seed: int


def schedule(seed: int, seconds: float, *, is_long: bool) -> Iterator[Entry]:
    """Return what happens when: every fault once in a shuffled order, and again, until the time is over."""
    random = Random(f"{seed} schedule")
    known = [fault for fault in FAULTS if is_long or not fault.only_long]
    pause = max(0.5, min(4.0, seconds / (1.2 * len(known))))
    at = 1.0
    for _ in itertools.count():
        for fault in random.sample(known, len(known)):
            if at > seconds:
                return
            yield Entry(at=at, fault=fault, seed=random.randrange(2**32))
            at += pause * random.uniform(0.5, 1.5)


class Nemesis:
    """One run against one ground."""

    def __init__(self, ground: Ground, seed: int, seconds: float, *, is_long: bool) -> None:
        self._ground = ground
        self._seed = seed
        self._seconds = seconds
        self._is_long = is_long
        self._people = People(ground, Random(f"{seed} people"))
        self._admins = Admins(ground, Random(f"{seed} admins"))
        self._random = Random(f"{seed} nemesis")
        self._happened: dict[str, int] = {}
        self._reached: set[str] = set()
        self._forged: list[bytes] = []
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> Outcome:
        """Do it all."""
        began = time.monotonic()
        watching = asyncio.create_task(self._watch())
        await self._time_neighbours()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._admins.live(self._seconds, every=1.5 if not self._is_long else 8))
            group.create_task(self._people.live(self._seconds, every=1.0 if not self._is_long else 4))
            group.create_task(self._break())
            group.create_task(self._walk_failpoints())
        await self._reach_the_rest()
        self._ground.say("no more faults")
        over = time.monotonic()
        await self._make_good()
        ended = await self._until_over()
        recovered_in = time.monotonic() - over
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        violations = [*self._ground.findings, *await self._judge()]
        if not ended:
            violations += [f"I10: not over {recovered_in:.0f} s after the last fault: {line}" for line in await self._unfinished()]
        return Outcome(
            seed=self._seed,
            seconds=over - began,
            recovered_in=recovered_in,
            faults=self._happened,
            counts=await self._count(),
            violations=violations,
            unreached=sorted(set(failpoints()) - self._reached),
            told=self._ground.told,
        )

    async def _time_neighbours(self) -> None:
        """I9, before anything breaks: a small organization beside the large one, against another one alone."""
        large, *_, other, small = self._ground.organizations
        alone = await self._time_of(other)
        await self._admins.require(large)
        beside = await self._time_of(small)
        self._ground.most |= {"s alone": alone, "s beside": beside}
        if beside > min(60, 3 * max(alone, BLINK_SECONDS)):
            self._ground.findings.append(f"I9: a small organization took {beside:.1f} s beside a large one, {alone:.1f} s alone")

    async def _time_of(self, organization: Seeded) -> float:
        began = time.monotonic()
        await self._admins.require(organization)
        running = "SELECT EXISTS (SELECT FROM portcullis.run WHERE organization_id = $1 AND state = 'running')"
        async with asyncio.timeout(BOUND_SECONDS):
            while await self._ground.value(running, organization.organization_id):  # noqa: ASYNC110 -- it happens in other processes
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def _break(self) -> None:
        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            for entry in schedule(self._seed, self._seconds, is_long=self._is_long):
                await asyncio.sleep(max(0.0, began + entry.at - time.monotonic()))
                group.create_task(self._do(entry))

    async def _do(self, entry: Entry) -> None:
        says = entry.fault.says
        self._happened[says] = self._happened.get(says, 0) + 1
        self._ground.say(says)
        async with self._locks[entry.fault.breaks]:
            await entry.fault.do(self._ground, Random(entry.seed))

    # Failpoints.

    async def _walk_failpoints(self) -> None:
        """Arm one after the other, in an order of the seed, while everything else goes on."""
        end = time.monotonic() + self._seconds
        names = self._random.sample(failpoints(), len(failpoints()))
        for name in itertools.cycle(names):
            if time.monotonic() > end:
                return
            await self._try_failpoint(name, seconds=_patience(name))

    async def _reach_the_rest(self) -> None:
        """Arm what was not reached, and flip switches until it is."""
        for name in sorted(set(failpoints()) - self._reached):
            for organization in self._random.sample(self._ground.organizations[1:], 4):
                await self._admins.lift(organization)
                trying = asyncio.create_task(self._try_failpoint(name, seconds=4 + _patience(name)))
                await (self._admins.write if "trigger" in name else self._admins.require)(organization)
                await asyncio.wait([trying], timeout=0 if name == "in_settle" else 1 + _patience(name))
                await self._admins.lift(organization)
                if await trying:
                    break

    async def _try_failpoint(self, name: str, *, seconds: float) -> bool:
        place = self._ground.failpoints / name
        if first := BEFORE.get(name):
            (self._ground.failpoints / first).touch()
        place.touch()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.05)
            if not place.exists():
                self._reached.add(name)
                self._ground.say(f"killed at {name}")
                place.with_name(name + REACHED).unlink(missing_ok=True)
                return True
        if first:
            (self._ground.failpoints / first).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            place.unlink()
            return False
        self._reached.add(name)
        return True

    # Afterwards.

    async def _make_good(self) -> None:
        ground = self._ground
        ground.proxy.mend()
        ground.relay.obey([])
        await ground.change("DELETE FROM chaos.fault")
        await ground.note_stops()
        self._forged = [bad for _ in QUEUES for bad in messages.bad_ones(ring())]
        with ground.redis() as client:
            client.config_set("maxmemory", "0")
            for place, bad in enumerate(self._forged):
                client.rpush(f"portcullis:{QUEUES[place % 2]}", bad)

    async def _until_over(self) -> bool:
        """Wait until every run has ended and nothing is open but what recipients deferred; says whether it came to that."""
        end = time.monotonic() + (LADDER_SECONDS if self._is_long else BOUND_SECONDS)
        hurry_at = time.monotonic() + 2 * LEASE_SECONDS
        while time.monotonic() < end:
            await self._ground.note_stops()
            if not await self._unfinished():
                return True
            if not self._is_long and time.monotonic() > hurry_at:
                hurry_at = time.monotonic() + LEASE_SECONDS
                await self._hurry()
            await asyncio.sleep(0.5)
        return False

    async def _hurry(self) -> None:
        """Let the minutes pass that recipients asked for, and those before a `lifted` letter: no lease is touched."""
        await self._ground.change(
            "WITH due AS (UPDATE portcullis.delivery SET next_at = now() WHERE next_at > now() AND state = 'owed')"
            " UPDATE portcullis.batch SET next_at = now() WHERE state = 'open' AND stage <> 'deferred' AND next_at > now()"
        )

    async def _unfinished(self) -> list[str]:
        rows = await self._ground.rows(
            "SELECT format('run %s %s: %s %s %s, %s attempts, due in %s, %s owed, %s sending, %s', r.run_id, r.state, b.stage, b.batch_id,"
            " b.state, b.attempts, b.next_at - now(), b.owed, b.sending, b.error) AS line"
            " FROM portcullis.run r LEFT JOIN portcullis.batch b ON b.run_id = r.run_id AND b.state IN ('open', 'dead')"
            " AND b.stage <> 'deferred' WHERE r.state = 'running' OR b.batch_id IS NOT NULL"
        )
        return [row["line"] for row in rows]

    async def _judge(self) -> list[str]:
        evidence = await self._ground.evidence()
        violations = await asyncio.to_thread(lambda: find_violations(evidence) + list(record.violations(evidence)))
        return [*violations, *await self._poison(), *await self._requests(), *self._secrets(), *self._bounds()]

    async def _poison(self) -> list[str]:
        """I12: each bad message of the last round is kept once, if not now then in a moment."""
        end = time.monotonic() + BOUND_SECONDS
        while True:
            kept = [row["payload"] for row in await self._ground.rows("SELECT payload FROM portcullis.quarantine")]
            wrong = [(bad, kept.count(bad[:1024])) for bad in self._forged if kept.count(bad[:1024]) != 1]
            if not wrong or time.monotonic() > end:
                return [f"I12: a bad message was kept {count} times: {bad[:40]!r}" for bad, count in wrong]
            await asyncio.sleep(0.5)

    async def _requests(self) -> list[str]:
        """I8: a request that came by message opened one run at most."""
        rows = await self._ground.rows("SELECT reason, count(*) AS runs FROM portcullis.run WHERE reason <> 'audit' GROUP BY 1")
        return [f"I8: request {row['reason']} opened {row['runs']} runs" for row in rows if row["runs"] > 1]

    def _secrets(self) -> list[str]:
        """I16: no address, password or key in any log of a worker."""
        wanted = ["@", PASSWORD, "AAECAwQFBgcICQoLDA0ODw", self._ground.postgres.url().split(":")[2].split("@")[0]]
        logs = [(path.name, path.read_text(errors="replace")) for path in sorted(self._ground.folder.glob("*-*.log"))]
        return [f"I16: {name} has {secret!r}" for name, text in logs for secret in wanted if secret in text]

    def _bounds(self) -> list[str]:
        most, bounds = self._ground.most, {"worker bytes": WORKER_BYTES, "connections": WORKER_CONNECTIONS + UNBORN}
        return [f"I17: {name} reached {most[name]:.0f}, {bound} is allowed" for name, bound in bounds.items() if most.get(name, 0) > bound]

    async def _watch(self) -> None:
        """Sample what must stay bounded."""
        ground = self._ground
        while True:
            await asyncio.sleep(1)
            if (depth := await asyncio.to_thread(ground.depth)) is not None:
                ground.history.hints.append(depth)
            for process in (*ground.crew.members("enforcer"), *ground.crew.members("mailer")):
                with suppress(psutil.NoSuchProcess):
                    self._note("worker bytes", process.memory_info().rss)
            with suppress(Exception):
                self._note("connections", await ground.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portcullis'"))

    def _note(self, name: str, value: float) -> None:
        self._ground.most[name] = max(value, self._ground.most.get(name, 0))

    async def _count(self) -> dict[str, float]:
        row = (
            await self._ground.rows(
                "SELECT (SELECT count(*) FROM portcullis.run) AS runs, (SELECT count(*) FROM portcullis.run WHERE state = 'done') AS done,"
                " (SELECT sum(sessions_ended) FROM portcullis.delivery) AS sessions,"
                " (SELECT count(*) FROM portcullis.delivery WHERE state = 'accepted') AS accepted,"
                " (SELECT count(*) FROM portcullis.delivery WHERE doubts > 0) AS doubts,"
                " (SELECT count(*) FROM portcullis.quarantine) AS quarantined"
            )
        )[0]
        ended = {f"{kind} ends": float(count) for kind, count in self._ground.crew.ended.items()}
        most = {
            "MiB a worker": round(self._ground.most.get("worker bytes", 0) / 2**20),
            "hints": max(self._ground.history.hints, default=0),
            "s a small one alone": round(self._ground.most["s alone"], 2),
            "s beside a large one": round(self._ground.most["s beside"], 2),
        }
        return {name: float(value or 0) for name, value in row.items()} | ended | most | {"failpoints": float(len(self._reached))}


def _patience(name: str) -> float:
    """Return for how long a place is worth waiting for."""
    return 2 * LEASE_SECONDS + 3.0 if name in BEFORE else 2.0


async def torment(folder: Path, seed: int, *, seconds: float, members: int, small: int, is_long: bool = False) -> Outcome:
    """Set everything up in `folder`, break it for so long, and say what came of it."""
    async with a_ground(folder, Random(f"{seed} people of the app"), members=members, small=small) as ground:
        return await Nemesis(ground, seed, seconds, is_long=is_long).run()
