"""The clocks of this host, of PostgreSQL and of Redis. Leases go by the database's, sending limits by Redis's, log lines by the host's."""

import time
from collections.abc import Awaitable, Callable, Mapping

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.store.database import Connection
from workers.cli.doctor.broker import open_client
from workers.cli.doctor.findings import Finding, note, ok, warning
from workers.settings import RedisSettings

TOLERATED_SECONDS = 1.0


async def check(db: Connection | None, settings: RedisSettings | None) -> list[Finding]:
    """Compare what can be reached with this host."""
    offsets: dict[str, float] = {}
    if db is not None:
        offsets["PostgreSQL"] = await measure(lambda: _ask_postgres(db))
    if settings is not None:
        try:
            async with open_client(settings.redis_url.get_secret_value()) as client:
                offsets["Redis"] = await measure(lambda: _ask_redis(client))
        except (RedisError, OSError, ValueError):
            pass  # the broker's own check says why
    return judge(offsets)


def judge(offsets: Mapping[str, float]) -> list[Finding]:
    """Say how far other clocks are ahead of this host's (seconds), and of each other."""
    if not offsets:
        return [note("no other clock could be reached")]
    apart = max(*offsets.values(), 0.0) - min(*offsets.values(), 0.0)
    told = ", ".join(f"{name} {seconds:+.3f} s" for name, seconds in offsets.items())
    if apart > TOLERATED_SECONDS:
        to_do = "Let every host follow a time server (chrony, systemd-timesyncd)."
        return [warning(f"clocks are {apart:.1f} s apart; against this host: {told}", to_do)]
    return [ok(f"against this host: {told}")]


async def measure(ask: Callable[[], Awaitable[float]]) -> float:
    """Return how far a clock is ahead of this host's, in seconds, taking half of the round trip off."""
    before = time.time()
    answer = await ask()
    return answer - (before + time.time()) / 2


async def _ask_postgres(db: Connection) -> float:
    return float(await db.fetchval("SELECT extract(epoch FROM clock_timestamp())"))


async def _ask_redis(client: Redis) -> float:
    seconds, microseconds = await client.time()
    return float(seconds) + float(microseconds) / 1_000_000
