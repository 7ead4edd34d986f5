"""Sending limits that are ordered while letters leave: real PostgreSQL, real Redis or Valkey, real time."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import redis.asyncio

from jobs.store.database import Pool, close_pool, open_pool
from workers.mailer import RedisLimiter, follow_orders
from workers.mailer.limits import Limits
from workers.mailer.orders import follow_once
from workers.settings import ConfigurationError, Settings

RELAY = "relay.test:25"
LOOK_SECONDS = 0.02


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    async with redis.asyncio.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size=2)
    yield opened
    await close_pool(opened)


async def order(db: asyncpg.Connection, scope: str, subject: str, amount: float) -> None:
    await db.execute(
        "INSERT INTO portcullis.send_limit (scope, subject, amount, set_by, reason) VALUES ($1, $2, $3, 'ops', 'a test')"
        " ON CONFLICT (scope, subject) DO UPDATE SET amount = excluded.amount",
        scope,
        subject,
        amount,
    )


def most_in_any_second(log: list[tuple[float, int]]) -> int:
    return max(sum(letters for moment, letters in log if start <= moment < start + 1) for start, _ in log)


class Sending:
    """Takes all that the limiter gives, as two mailers would, and notes when."""

    def __init__(self, *limiters: RedisLimiter) -> None:
        self._limiters = limiters
        self._log: list[tuple[float, int]] = []
        self._loop = asyncio.get_running_loop()

    async def go_on(self, seconds: float) -> list[tuple[float, int]]:
        self._log = []
        await asyncio.gather(*(self._take(limiter, self._loop.time() + seconds) for limiter in self._limiters))
        return self._log

    async def _take(self, limiter: RedisLimiter, end: float) -> None:
        while self._loop.time() < end:
            grant = await limiter.take("1", {"a.example": 10_000})
            self._log.append((self._loop.time(), sum(grant.letters.values())))
            await asyncio.sleep(min(grant.wait_seconds, 0.02))


async def test_an_order_raises_and_lowers_the_limit_while_letters_leave(
    db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis"
) -> None:
    limiters = [RedisLimiter(client, relay=RELAY, limits=Limits(relay_rate=20)) for _ in range(2)]
    following = [asyncio.create_task(follow_orders(pool, limiter, seconds=LOOK_SECONDS)) for limiter in limiters]
    sending = Sending(*limiters)
    logs = [await sending.go_on(1.0)]
    for rate in (400, 40):
        await order(db, "relay", RELAY, rate)
        await asyncio.sleep(5 * LOOK_SECONDS)
        logs.append(await sending.go_on(1.5))
    for task in following:
        task.cancel()
    before, raised, lowered = (sum(letters for _, letters in log) for log in logs)
    assert 20 <= before <= 40 + 4
    assert 400 <= raised <= 400 * 2.5 + 10
    assert lowered <= 40 * 2.5 + 10, "a burst of the new limit at most, and what 1.5 s allow"
    assert most_in_any_second(logs[1]) <= 2 * 400
    assert most_in_any_second(logs[2]) <= 2 * 40


async def test_an_order_taken_back_leaves_the_setting(db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis") -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits(relay_rate=20))
    await order(db, "relay", "", 7)
    await follow_once(pool, limiter)
    assert limiter.limits.of("relay", RELAY) == 7
    await db.execute("DELETE FROM portcullis.send_limit")
    await follow_once(pool, limiter)
    assert limiter.limits.of("relay", RELAY) == 20


async def test_one_organization_domain_or_relay_may_have_a_limit_of_its_own(
    db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis"
) -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits())
    assert limiter.unlimited
    await order(db, "organization", "8", 5)
    await order(db, "domain", "Slow.example", 3)
    await follow_once(pool, limiter)
    assert not limiter.unlimited
    demand = {"slow.example": 50, "quick.example": 50}
    assert (await limiter.take("7", demand)).letters == {"slow.example": 3, "quick.example": 50}
    assert sum((await limiter.take("8", {"other.example": 50})).letters.values()) == 5
    assert sum((await limiter.take("9", {"other.example": 50}, relay="another.test:25")).letters.values()) == 50


async def test_every_domain_may_be_limited_and_one_let_through(db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis") -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits(domain_rate=20))
    await order(db, "domain", "", 4)
    await order(db, "domain", "friend.example", 0)
    await follow_once(pool, limiter)
    assert (await limiter.take("1", {"friend.example": 500, "a.example": 500})).letters == {"friend.example": 500, "a.example": 4}


async def test_a_quota_may_be_ordered_for_one_relay(db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis") -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits())
    await order(db, "quota", RELAY, 100)
    await follow_once(pool, limiter)
    assert sum((await limiter.take("1", {"a.example": 500})).letters.values()) == 95
    assert sum((await limiter.take("1", {"a.example": 500}, relay="another.test:25")).letters.values()) == 500


async def test_a_rate_that_was_tiny_does_not_hold_up_one_that_is_raised(client: "redis.asyncio.Redis") -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits(relay_rate=0.001))
    assert sum((await limiter.take("1", {"a.example": 5})).letters.values()) == 1
    limiter.limits = limiter.limits.under({("relay", RELAY): 1000.0})
    grant = await limiter.take("1", {"a.example": 500})
    assert grant.wait_seconds <= 0.1
    await asyncio.sleep(grant.wait_seconds)
    assert sum((await limiter.take("1", {"a.example": 500})).letters.values()) >= 50


async def test_while_postgresql_is_away_what_was_ordered_last_holds(
    db: asyncpg.Connection, pool: Pool, client: "redis.asyncio.Redis"
) -> None:
    limiter = RedisLimiter(client, relay=RELAY, limits=Limits())
    await order(db, "relay", "", 9)
    following = asyncio.create_task(follow_orders(pool, limiter, seconds=LOOK_SECONDS))
    async with asyncio.timeout(5):
        while limiter.unlimited:  # noqa: ASYNC110 -- what is waited for happens in PostgreSQL
            await asyncio.sleep(0.01)
    await close_pool(pool)
    await asyncio.sleep(5 * LOOK_SECONDS)
    assert not following.done()
    assert limiter.limits.of("relay", RELAY) == 9
    following.cancel()


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")], ids=["-1", "nan", "inf"])
async def test_a_limit_below_nothing_or_without_end_is_refused_everywhere(db: asyncpg.Connection, amount: float) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await order(db, "relay", "", amount)
    with pytest.raises(ValueError, match="a sending limit is 0"):
        Limits(relay_rate=amount)
    with pytest.raises(ValueError, match="a sending limit is 0"):
        Limits().under({("domain", "a.example"): amount})
    with pytest.raises(ConfigurationError) as refused:
        Settings.load({f"PORTCULLIS_{name}_RATE": str(amount) for name in ("RELAY", "ORGANIZATION", "DOMAIN")})
    assert {fault.partition(":")[0] for fault in refused.value.faults} >= {"PORTCULLIS_RELAY_RATE", "PORTCULLIS_DOMAIN_RATE"}
