"""The shared limits on a real Redis or Valkey; time passes by the test's own clock, except where a test says otherwise."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest
import redis.asyncio

from jobs.ports import Grant
from workers.mailer import RedisLimiter
from workers.mailer.limiter import Limits

SECOND = 1_000_000
DAY = 86_400 * SECOND


@dataclass
class Clock:
    """Microseconds, moved by hand."""

    now: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    async with redis.asyncio.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(client: "redis.asyncio.Redis", clock: Clock) -> Callable[..., RedisLimiter]:
    def build(**limits: float) -> RedisLimiter:
        return RedisLimiter(client, relay="relay.test:25", limits=Limits(**limits), clock=clock)  # type: ignore[arg-type]

    return build


def taken(grant: Grant) -> int:
    return sum(grant.letters.values())


async def drive(
    limiter: RedisLimiter, clock: Clock, seconds: float, demands: Mapping[str, Mapping[str, int]]
) -> dict[str, list[tuple[int, int]]]:
    """Let organizations ask as notify does: all they want, then again when the wait is over. Returns (moment, letters) of each."""
    log: dict[str, list[tuple[int, int]]] = {organization: [] for organization in demands}
    wanted = {organization: dict(demand) for organization, demand in demands.items()}
    due = dict.fromkeys(demands, clock.now)
    end = clock.now + round(seconds * SECOND)
    while due:
        organization = min(due, key=lambda each: due[each])
        clock.now = max(clock.now, due.pop(organization))
        if clock.now >= end:
            continue
        grant = await limiter.take(organization, wanted[organization])
        log[organization].append((clock.now, taken(grant)))
        left = {domain: letters - grant.letters[domain] for domain, letters in wanted[organization].items()}
        wanted[organization] = {domain: letters for domain, letters in left.items() if letters}
        if wanted[organization]:
            due[organization] = clock.now + max(1, round(grant.wait_seconds * SECOND))
    return log


def total(log: list[tuple[int, int]]) -> int:
    return sum(letters for _, letters in log)


def most_in_any_second(log: list[tuple[int, int]]) -> int:
    return max(sum(n for moment, n in log if start <= moment < start + SECOND) for start, _ in log)


async def test_the_burst_is_one_seconds_worth(limiter: Callable[..., RedisLimiter]) -> None:
    grant = await limiter(relay_rate=50).take("1", {"example.com": 500})
    assert grant.letters == {"example.com": 50}
    assert 0 < grant.wait_seconds <= 0.1


async def test_what_fits_is_granted_whole_and_waits_for_nothing(limiter: Callable[..., RedisLimiter]) -> None:
    grant = await limiter(relay_rate=50, organization_rate=40, domain_rate=20).take("1", {"a.example": 20, "b.example": 10})
    assert grant == Grant(letters={"a.example": 20, "b.example": 10}, wait_seconds=0)


async def test_a_rate_below_one_a_second_lets_one_through_at_a_time(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    slow = limiter(relay_rate=0.5)
    assert taken(await slow.take("1", {"a.example": 9})) == 1
    grant = await slow.take("1", {"a.example": 9})
    assert (taken(grant), grant.wait_seconds) == (0, 2)
    clock.sleep(1.9)
    assert taken(await slow.take("1", {"a.example": 9})) == 0
    clock.sleep(0.1)
    assert taken(await slow.take("1", {"a.example": 9})) == 1


@pytest.mark.parametrize("rate", [3, 50, 500, 7919.5])
async def test_one_organization_uses_the_limit_and_never_exceeds_it_by_more_than_a_burst(
    limiter: Callable[..., RedisLimiter], clock: Clock, rate: float
) -> None:
    log = (await drive(limiter(relay_rate=rate), clock, 20, {"1": {"a.example": 10**9}}))["1"]
    assert 0.98 <= total(log) / (rate * 20 + rate) <= 1
    assert most_in_any_second(log) <= 2 * rate
    assert len(log) <= 20 * 10 + 1


async def test_each_limit_holds(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    by_domain = limiter(domain_rate=20)
    grant = await by_domain.take("1", {"a.example": 100, "b.example": 5})
    assert grant.letters == {"a.example": 20, "b.example": 5}
    assert taken(await by_domain.take("2", {"a.example": 100})) == 0

    by_organization = limiter(organization_rate=30)
    assert taken(await by_organization.take("1", {"c.example": 100})) == 30
    assert taken(await by_organization.take("2", {"c.example": 100})) == 30

    both = limiter(relay_rate=50, domain_rate=20)
    assert (await both.take("3", {"d.example": 100, "e.example": 100, "f.example": 100})).letters == {
        "d.example": 20,
        "e.example": 20,
        "f.example": 10,
    }
    clock.sleep(1)
    assert taken(await both.take("3", {"d.example": 100})) == 20


async def test_a_domain_that_waits_costs_the_relay_nothing(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    both = limiter(relay_rate=50, domain_rate=10)
    log = await drive(both, clock, 10, {"1": {"busy.example": 10**6}, "2": {"quiet.example": 400}})
    assert total(log["1"]) <= 110
    assert total(log["2"]) >= 100


async def test_an_organization_of_a_million_does_not_starve_one_of_a_hundred(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    shared = limiter(relay_rate=50)
    await drive(shared, clock, 5, {"large": {"a.example": 10**6}})
    started = clock.now
    log = await drive(shared, clock, 12, {"large": {"a.example": 10**6}, "small": {"b.example": 100}})
    assert total(log["small"]) == 100
    alone = 100 / 50
    assert (log["small"][-1][0] - started) / SECOND <= 3 * alone
    assert total(log["large"]) + 100 >= 0.9 * 50 * 12


async def test_many_contenders_get_their_parts(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    demands = {str(number): {"a.example": 10**6} for number in range(8)}
    log = await drive(limiter(relay_rate=400), clock, 20, demands)
    parts = [total(each) for each in log.values()]
    assert sum(parts) >= 0.98 * 400 * 20
    assert min(parts) >= 0.5 * sum(parts) / 8
    assert max(parts) <= 2 * sum(parts) / 8


async def test_a_domain_is_shared_too(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    shared = limiter(domain_rate=20)
    await drive(shared, clock, 5, {"large": {"a.example": 10**6}})
    started = clock.now
    log = await drive(shared, clock, 20, {"large": {"a.example": 10**6}, "small": {"a.example": 40}})
    assert total(log["small"]) == 40
    assert (log["small"][-1][0] - started) / SECOND <= 3 * 40 / 20


@pytest.mark.survives("SMTP: the day's quota", "I5 I10")
async def test_the_days_quota_stops_at_95_percent_and_rolls(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    limited = limiter(daily_quota=1000)
    assert taken(await limited.take("1", {"a.example": 600})) == 600
    clock.sleep(3600)
    grant = await limited.take("1", {"a.example": 600})
    assert taken(grant) == 350
    assert 22 * 3600 < grant.wait_seconds <= 24 * 3600
    clock.sleep(grant.wait_seconds - 1)
    assert taken(await limited.take("1", {"a.example": 600})) == 0
    clock.sleep(1)
    assert taken(await limited.take("1", {"a.example": 600})) == 600
    assert taken(await limited.take("1", {"a.example": 600})) == 0


async def test_the_quota_holds_in_every_window_of_a_day(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    limited = limiter(daily_quota=400)
    log: list[tuple[int, int]] = []
    for _ in range(3 * 24 * 4):
        log.append((clock.now, taken(await limited.take("1", {"a.example": 7}))))
        clock.sleep(907)
    for start, _ in log:
        assert sum(n for moment, n in log if start <= moment < start + DAY) <= 380
    assert total(log) >= 2.5 * 380


async def test_all_off_is_unlimited_and_asks_nobody() -> None:
    async with redis.asyncio.Redis.from_url("redis://127.0.0.1:1") as nobody:
        off = RedisLimiter(nobody, relay="relay.test:25", limits=Limits())
        assert off.unlimited
        assert await off.take("1", {"a.example": 5}) == Grant(letters={"a.example": 5}, wait_seconds=0)


async def test_while_redis_is_away_nothing_leaves() -> None:
    async with redis.asyncio.Redis.from_url("redis://127.0.0.1:1") as nobody:
        grant = await RedisLimiter(nobody, relay="relay.test:25", limits=Limits(relay_rate=5)).take("1", {"a.example": 5})
    assert grant == Grant(letters={}, wait_seconds=1)


async def test_limits_change_without_a_restart(limiter: Callable[..., RedisLimiter], clock: Clock) -> None:
    changing = limiter(relay_rate=10)
    assert taken(await changing.take("1", {"a.example": 100})) == 10
    changing.limits = Limits(relay_rate=100)
    clock.sleep(0.5)
    assert 40 <= taken(await changing.take("1", {"a.example": 1000})) <= 100
    changing.limits = Limits()
    assert taken(await changing.take("1", {"a.example": 1000})) == 1000


async def test_flushing_redis_costs_one_burst(limiter: Callable[..., RedisLimiter], client: "redis.asyncio.Redis") -> None:
    limited = limiter(relay_rate=50)
    assert taken(await limited.take("1", {"a.example": 500})) == 50
    await client.flushdb()
    await client.script_flush()
    assert taken(await limited.take("1", {"a.example": 500})) == 50


async def test_no_key_stays(limiter: Callable[..., RedisLimiter], client: "redis.asyncio.Redis") -> None:
    every = limiter(relay_rate=3, organization_rate=2, domain_rate=1, daily_quota=100)
    for organization in ("1", "2", "1"):
        await every.take(organization, {"a.example": 9, "b.example": 9})
    lifetimes = {str(key): await client.pttl(key) for key in await client.keys("*")}
    assert len(lifetimes) > 5
    assert all("portcullis:limit:" in key for key in lifetimes)
    assert all(0 < lifetime <= 25 * 3600 * 1000 for lifetime in lifetimes.values())
    assert all(lifetime <= 5000 for key, lifetime in lifetimes.items() if "quota" not in key)


async def test_by_the_servers_clock_and_across_processes_the_rate_is_kept(client: "redis.asyncio.Redis") -> None:
    """Real time, two limiters that know nothing of each other: 2 s at 200/s are a burst and 400."""
    log: list[int] = []
    loop = asyncio.get_running_loop()
    end = loop.time() + 2

    async def ask(limiter: RedisLimiter) -> None:
        while loop.time() < end:
            grant = await limiter.take("1", {"a.example": 10_000})
            log.append(taken(grant))
            await asyncio.sleep(min(grant.wait_seconds, max(0, end - loop.time())))

    limits = Limits(relay_rate=200)
    await asyncio.gather(*(ask(RedisLimiter(client, relay="relay.test:25", limits=limits)) for _ in range(2)))
    assert 450 <= sum(log) <= 640


@pytest.mark.parametrize("letters", [1, 500])
async def test_a_whole_wave_is_one_call(limiter: Callable[..., RedisLimiter], letters: int) -> None:
    demand = {f"d{number}.example": 1 for number in range(letters)}
    grant = await limiter(relay_rate=1000, organization_rate=1000, domain_rate=20, daily_quota=10_000).take("1", demand)
    assert grant == Grant(letters=demand, wait_seconds=0)
