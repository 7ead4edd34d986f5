"""Every fault that a nemesis knows: what it is called, which invariants it threatens, and how it is done to the system.

A fault lasts a few seconds and takes itself away again, whatever happened meanwhile; several may be there at once.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import psutil
import redis

from tests.faults import messages
from tests.faults.ground import AWAY, LEASE_SECONDS, QUEUES, Ground, ring
from tests.relay import Act, Rule, Stage

if TYPE_CHECKING:
    import asyncpg

Deed = Callable[[Ground, Random], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `breaks`: what nobody else may break meanwhile. `only_long`: takes too long for the run that is part of the tests."""

    says: str
    threatens: tuple[str, ...]
    breaks: str
    do: Deed
    only_long: bool = False


FAULTS: list[Fault] = []


def fault(says: str, threatens: str, *, breaks: str = "", only_long: bool = False) -> Callable[[Deed], Deed]:
    """Enter a fault into the list; what it breaks is, unless told, its name up to the colon."""

    def enter(do: Deed) -> Deed:
        server = breaks or says.partition(":")[0]
        FAULTS.append(Fault(says=says, threatens=tuple(threatens.split()), breaks=server, do=do, only_long=only_long))
        return do

    return enter


# Workers.


@fault("kill -9 of an enforcer", "I1 I2 I6 I8 I10 I15")
async def kill_enforcer(ground: Ground, random: Random) -> None:
    ground.say(f"kill -9: {ground.crew.kill('enforcer', random)}")


@fault("kill -9 of a mailer", "I4 I6 I10")
async def kill_mailer(ground: Ground, random: Random) -> None:
    ground.say(f"kill -9: {ground.crew.kill('mailer', random)}")


@fault("kill -9 of a conductor, two conductors at once", "I6 I8 I10")
async def kill_conductor(ground: Ground, random: Random) -> None:
    ground.say(f"kill -9: {ground.crew.kill('conductor', random)}")


@fault("all workers and Redis dead while people go on", "I3 I10", breaks="Redis")
async def everything_dead(ground: Ground, random: Random) -> None:
    ground.crew.pause_all()
    ground.valkey.kill()
    try:
        await asyncio.sleep(random.uniform(1, 3))
    finally:
        ground.valkey.start()
        ground.crew.resume_all()


@fault("a worker asleep for longer than its lease, then awake", "I4 I6 I8")
async def zombie(ground: Ground, random: Random) -> None:
    kind = random.choice(["enforcer", "mailer"])
    family = ground.crew.family(kind, random)
    ground.history.mailer_crashes += kind == "mailer"
    try:
        _signal(family, signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + random.uniform(1, 3))
    finally:
        _signal(family, signal.SIGCONT)


def _signal(family: list[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


# Redis.


@fault("Redis: FLUSHALL", "I10 I11")
async def flush(ground: Ground, random: Random) -> None:
    for _ in range(random.randint(1, 4)):
        with suppress(redis.RedisError), ground.redis() as client:
            client.flushall()
        await asyncio.sleep(random.uniform(0, 0.5))


@fault("Redis: killed and started again, empty", "I10 I11")
async def restart_redis(ground: Ground, random: Random) -> None:
    ground.valkey.kill()
    try:
        await asyncio.sleep(random.uniform(0, 2))
    finally:
        ground.valkey.start()


@fault("Redis: stalled for 15 s", "I10 I11 I17", only_long=True)
async def stall_redis(ground: Ground, random: Random) -> None:
    await _stall_redis(ground, 15)


@fault("Redis: stalled past every timeout", "I10 I11 I17")
async def stall_redis_shortly(ground: Ground, random: Random) -> None:
    await _stall_redis(ground, random.uniform(5.5, 7))


async def _stall_redis(ground: Ground, seconds: float) -> None:
    ground.valkey.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        ground.valkey.thaw()


@fault("Redis: out of memory", "I10 I11 I17")
async def fill_redis(ground: Ground, random: Random) -> None:
    try:
        _maxmemory(ground, "1")
        await asyncio.sleep(random.uniform(2, 5))
    finally:
        _maxmemory(ground, "0")


def _maxmemory(ground: Ground, size: str) -> None:
    with suppress(redis.RedisError), ground.redis() as client:
        client.config_set("maxmemory", size)


@fault("Redis: away exactly while batches fail", "I6 I10 I11")
async def away_at_a_failure(ground: Ground, random: Random) -> None:
    try:
        await ground.change("INSERT INTO chaos.fault VALUES ('XX000', 0.7)")
        await asyncio.sleep(random.uniform(0, 0.5))
        ground.valkey.kill()
        try:
            await asyncio.sleep(random.uniform(1, 3))
        finally:
            ground.valkey.start()
    finally:
        await ground.change("DELETE FROM chaos.fault")


# PostgreSQL.


@fault("PostgreSQL: killed, recovers", "I2 I4 I6 I9 I15")
async def restart_postgres(ground: Ground, random: Random) -> None:
    ground.history.mailer_crashes += 2  # who can't renew is, for the lease, the same as dead
    try:
        await asyncio.to_thread(ground.postgres.stop)
        await asyncio.sleep(random.uniform(0, 1))
    finally:
        ground.postgres.stop()  # the thread goes on when its task is cancelled
        ground.postgres.start()


@fault("PostgreSQL: every connection of the workers terminated", "I2 I4 I6")
async def terminate(ground: Ground, random: Random) -> None:
    for _ in range(random.randint(1, 3)):
        await ground.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'")
        await asyncio.sleep(random.uniform(0, 0.5))


@fault("PostgreSQL: connection cut in COMMIT", "I2 I4 I6 I15")
async def cut_in_commit(ground: Ground, random: Random) -> None:
    ground.proxy.commits_arrive = random.random() < 0.5
    ground.proxy.commits_to_cut = random.randint(1, 6)
    try:
        await asyncio.sleep(random.uniform(2, 4))
    finally:
        ground.proxy.commits_to_cut = 0


@fault("PostgreSQL: done, but the answer is lost", "I2 I4 I6 I15")
async def lose_answers(ground: Ground, random: Random) -> None:
    try:
        for _ in range(random.randint(3, 10)):
            ground.proxy.answers_to_lose = 1
            await asyncio.sleep(random.uniform(0.1, 0.6))
    finally:
        ground.proxy.answers_to_lose = 0


@fault("PostgreSQL: network half-open, then reset", "I2 I4 I6 I10")
async def half_open(ground: Ground, random: Random) -> None:
    ground.proxy.stall()
    ground.history.mailer_crashes += 2
    try:
        await asyncio.sleep(random.uniform(2, LEASE_SECONDS + 2))
    finally:
        ground.proxy.cut()
        ground.proxy.mend()


@fault("PostgreSQL: 40001 and 40P01", "I2 I4 I6 I9 I15")
async def roll_back(ground: Ground, random: Random) -> None:
    try:
        await ground.change("INSERT INTO chaos.fault VALUES ($1, 0.5)", random.choice(["40001", "40P01"]))
        await asyncio.sleep(random.uniform(2, 4))
    finally:
        await ground.change("DELETE FROM chaos.fault")


@fault("PostgreSQL: 500 ms latency", "I2 I4 I9")
async def latency(ground: Ground, random: Random) -> None:
    ground.proxy.delay_seconds = 0.5
    try:
        await asyncio.sleep(random.uniform(3, 6))
    finally:
        ground.proxy.delay_seconds = 0


@fault("PostgreSQL: connections exhausted", "I6 I9 I17")
async def exhaust(ground: Ground, random: Random) -> None:
    taken: list[asyncpg.Connection] = []
    try:
        with suppress(*AWAY):
            while len(taken) < 60:
                taken.append(await ground.connect())
        ground.proxy.cut()  # so that they need new ones
        await asyncio.sleep(random.uniform(1, 3))
    finally:
        for connection in taken:
            connection.terminate()


# The relay.


async def _rules(ground: Ground, seconds: float, rules: Sequence[Rule]) -> None:
    ground.relay.obey(rules)
    try:
        await asyncio.sleep(seconds)
    finally:
        ground.relay.obey([])


@fault("SMTP: connections refused", "I4 I6 I10")
async def refuse(ground: Ground, random: Random) -> None:
    ground.relay.kill()
    try:
        await asyncio.sleep(random.uniform(0.5, 3))
    finally:
        ground.relay.start()


@fault("SMTP: 421 and 4xx at each stage", "I4 I5 I6 I10")
async def not_now(ground: Ground, random: Random) -> None:
    stages = [Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.DATA, Stage.DOT]
    words = ["421 4.3.2 shutting down", "451 4.3.0 local error", "454 4.7.0 throttled", "452 4.5.3 too many"]
    rules = [Rule(stage=stage, reply=random.choice(words), chance=0.15, times=10) for stage in stages]
    await _rules(ground, random.uniform(2, 5), rules)


@fault("SMTP: 5xx to recipients, and after the dot", "I4 I6")
async def never(ground: Ground, random: Random) -> None:
    at_rcpt = Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", chance=0.1)
    at_dot = Rule(stage=Stage.DOT, reply="550 5.1.1 no such user", chance=0.05)
    await _rules(ground, random.uniform(2, 4), [at_rcpt, at_dot])


@fault("SMTP: 5xx against the letter itself", "I4 I6 I10")
async def refuse_letters(ground: Ground, random: Random) -> None:
    await _rules(ground, random.uniform(1, 2), [Rule(stage=Stage.DOT, reply="554 5.7.1 policy", chance=0.1, times=3)])


@fault("SMTP: greylisting, mailbox full", "I4 I6 I10")
async def greylist(ground: Ground, random: Random) -> None:
    reply = random.choice(["450 4.2.0 greylisted", "452 4.2.2 mailbox full"])
    await _rules(ground, random.uniform(1, 3), [Rule(stage=Stage.RCPT, reply=reply, chance=0.2, times=100)])


@fault("SMTP: dropped before DATA", "I4 I6")
async def drop_before_data(ground: Ground, random: Random) -> None:
    rules = [Rule(stage=stage, act=Act.DROP, chance=0.05, times=10) for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT)]
    await _rules(ground, random.uniform(2, 4), rules)


@fault("SMTP: dropped after the dot, taken or not", "I4 I6 I10")
async def drop_after_dot(ground: Ground, random: Random) -> None:
    rules = [Rule(stage=Stage.DOT, act=act, chance=0.05, times=10) for act in (Act.DROP, Act.ACCEPT_AND_DROP)]
    await _rules(ground, random.uniform(2, 4), rules)


@fault("SMTP: the account's quota is used up", "I5 I10")
async def quota(ground: Ground, random: Random) -> None:
    words = random.choice(["452 4.4.5 daily sending quota exceeded", "550 5.4.5 daily user sending limit exceeded"])
    await _rules(ground, random.uniform(2, 4), [Rule(stage=Stage.MAIL, reply=words)])


@fault("SMTP: the password is wrong", "I4 I6 I10")
async def wrong_password(ground: Ground, random: Random) -> None:
    ground.relay.kill()  # whoever is connected has shown it already
    ground.relay.start()
    await _rules(ground, random.uniform(2, 4), [Rule(stage=Stage.AUTH, reply="535 5.7.8 authentication credentials invalid")])


@fault("SMTP: slow answers", "I4 I5 I9 I10")
async def slow(ground: Ground, random: Random) -> None:
    await _another_relay(ground, random.uniform(3, 5), "--delay", "0.3")


@fault("SMTP: slow bytes", "I4 I5 I9 I10")
async def slow_bytes(ground: Ground, random: Random) -> None:
    await _another_relay(ground, random.uniform(3, 5), "--byte", "0.02")


async def _another_relay(ground: Ground, seconds: float, *options: str) -> None:
    ground.relay.kill()
    ground.relay.start(*options)
    try:
        await asyncio.sleep(seconds)
    finally:
        ground.relay.kill()
        ground.relay.start()


@fault("SMTP: hangs after the dot", "I4 I5 I10", only_long=True)
async def hang(ground: Ground, random: Random) -> None:
    try:
        await _rules(ground, 3, [Rule(stage=Stage.DOT, act=Act.HANG, chance=0.05, times=2)])
        await asyncio.sleep(20)
    finally:
        ground.relay.kill()  # nothing else ends such a connection within ten minutes
        ground.relay.start()


# Messages.


@fault("messages doubled, reordered, replayed", "I4 I7 I8 I19")
async def double(ground: Ground, random: Random) -> None:
    for _ in range(3):
        batches = await ground.rows("SELECT run_id, batch_id, token, stage FROM portcullis.batch ORDER BY random() LIMIT 60")
        with suppress(redis.RedisError), ground.redis() as client:
            for queue, sealed in messages.stale_and_double(ring(), batches, random):
                client.rpush(f"portcullis:{queue}", sealed)
        await asyncio.sleep(random.uniform(0.2, 1))


@fault("messages forged, undecodable, huge, of an unknown version", "I7 I8 I12")
async def forge(ground: Ground, random: Random) -> None:
    with suppress(redis.RedisError), ground.redis() as client:
        for bad in messages.bad_ones(ring()):
            client.rpush(f"portcullis:{random.choice(QUEUES)}", bad)


# Time.


@fault("a worker host's clock jumps, ahead and back", "I5 I8 I10")
async def jump_host(ground: Ground, random: Random) -> None:
    try:
        for seconds in (120, -random.uniform(60, 600), random.uniform(1, 10)):
            ground.crew.set_clock(seconds)
            await asyncio.sleep(random.uniform(1, 3))
    finally:
        ground.crew.set_clock(0)


@fault("the database's moments jump", "I5 I8 I10")
async def jump(ground: Ground, random: Random) -> None:
    """Move the database's moments instead of its clock: leases run out at once, and what waits is due or far away."""
    back = random.random() < 0.5
    await ground.change(
        "UPDATE portcullis.batch SET leased_until = leased_until + $1::interval, hinted_at = hinted_at + $1::interval WHERE state = 'open'",
        timedelta(seconds=-120 if back else LEASE_SECONDS),
    )
    await ground.change("UPDATE portcullis.leader SET leased_until = leased_until - interval '120 seconds'")
    ground.history.mailer_crashes += 2
