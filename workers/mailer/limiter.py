"""The sending limits that all processes share: one Lua call takes as many letters as there are, by Redis' clock.

Limits for the relay, the organization and the recipient domain, in letters a second, and a quota of the last 24 hours that stops at
95 %, so that other mail of the same account still leaves. When several organizations want more than the relay or a domain takes, each
gets its part. Redis only counts: losing it costs a burst at most (and the day's count), and while it is away nothing leaves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from redis.exceptions import RedisError

from jobs.ports import Grant
from workers.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "portcullis:limit:"
SCRIPT = Path(__file__).with_name("limiter.lua").read_text(encoding="ascii")
AWAY_SECONDS = 1.0
MICROSECONDS = 1_000_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Letters a second, and letters in 24 hours; 0: off."""

    relay_rate: float = 0
    organization_rate: float = 0
    domain_rate: float = 0
    daily_quota: int = 0

    @property
    def off(self) -> bool:
        """Whether nothing is limited."""
        return not (self.relay_rate or self.organization_rate or self.domain_rate or self.daily_quota)


class RedisLimiter:
    """The `Limiter` of `jobs.ports`. `limits` may be replaced at any time and hold from the next call. The client stays its owner's.

    `clock` (microseconds) takes the place of Redis' own clock; for tests only.
    """

    def __init__(self, redis: "Redis", *, relay: str, limits: Limits, clock: Callable[[], int] | None = None) -> None:
        self.limits = limits
        self._script = redis.register_script(SCRIPT)
        self._relay = relay
        self._clock = clock
        self._away = False

    @classmethod
    def from_settings(cls, redis: "Redis", settings: Settings) -> Self:
        """Return the limiter for the settings' relay and limits."""
        limits = Limits(
            relay_rate=settings.relay_rate,
            organization_rate=settings.organization_rate,
            domain_rate=settings.domain_rate,
            daily_quota=settings.daily_quota,
        )
        return cls(redis, relay=settings.relay.name, limits=limits)

    @property
    def unlimited(self) -> bool:
        """True when every limit is off: then Redis is not asked."""
        return self.limits.off

    async def take(self, organization: str, demand: Mapping[str, int]) -> Grant:
        """Take up to `demand` letters per recipient domain; what is taken is spent, also when the letters then don't leave.

        While Redis is away the grant is empty and the wait one second.
        """
        if self.unlimited:
            return Grant(letters=dict(demand), wait_seconds=0)
        try:
            *granted, wait, domains_only = await self._script(
                keys=self._keys(organization, demand), args=self._arguments(organization, demand)
            )
        except (RedisError, OSError) as error:
            return self._nothing(error)
        self._away = False
        return Grant(letters=dict(zip(demand, granted, strict=True)), wait_seconds=wait / MICROSECONDS, domains_only=bool(domains_only))

    def _keys(self, organization: str, demand: Mapping[str, int]) -> list[str]:
        head = [f"relay:{self._relay}", f"organization:{organization}", f"quota:{self._relay}", f"contended:{self._relay}"]
        return [PREFIX + name for name in (*head, *(f"domain:{domain}" for domain in demand))]

    def _arguments(self, organization: str, demand: Mapping[str, int]) -> list[str | int | float]:
        limits = self.limits
        now = self._clock() if self._clock else 0
        return [limits.relay_rate, limits.organization_rate, limits.domain_rate, limits.daily_quota, organization, now, *demand.values()]

    def _nothing(self, error: Exception) -> Grant:
        if not self._away:
            log.warning("limiter_away", error=type(error).__name__)
        self._away = True
        return Grant(letters={}, wait_seconds=AWAY_SECONDS)
