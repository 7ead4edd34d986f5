"""The sending limits that all processes share: one Lua call takes as many letters as there are, by Redis' clock.

Limits for the relay, the organization and the recipient domain, in letters a second, and a quota of the last 24 hours that stops at
95 %, so that other mail of the same account still leaves. When several organizations want more than the relay or a domain takes, each
gets its part. What is ordered while letters leave holds from the next ones on. Redis only counts: losing it costs a burst at most
(and the day's count), and while it is away nothing leaves.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from redis.exceptions import RedisError

from jobs.ports import Grant
from workers.mailer.limits import EVERY, Limits
from workers.settings import Settings

__all__ = ["Limits", "RedisLimiter"]

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "portcullis:limit:"
SCRIPT = Path(__file__).with_name("limiter.lua").read_text(encoding="ascii")
AWAY_SECONDS = 1.0
MICROSECONDS = 1_000_000

log = structlog.get_logger()


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
        return cls(redis, relay=settings.relay.name, limits=Limits.from_settings(settings))

    @property
    def unlimited(self) -> bool:
        """True when every limit is off: then Redis is not asked."""
        return self.limits.off

    async def take(self, organization: str, demand: Mapping[str, int], *, relay: str | None = None) -> Grant:
        """Take up to `demand` letters per recipient domain; what is taken is spent, also when the letters then don't leave.

        `relay` is where they will be handed over, by default the first one. While Redis is away the grant is empty and the wait one
        second.
        """
        if self.unlimited:
            return Grant(letters=dict(demand), wait_seconds=0)
        through = relay or self._relay
        try:
            *granted, wait, domains_only = await self._script(
                keys=self._keys(organization, demand, through), args=self._arguments(organization, demand, through)
            )
        except (RedisError, OSError) as error:
            return self._nothing(error)
        self._away = False
        return Grant(letters=dict(zip(demand, granted, strict=True)), wait_seconds=wait / MICROSECONDS, domains_only=bool(domains_only))

    def _keys(self, organization: str, demand: Mapping[str, int], relay: str) -> list[str]:
        head = [f"relay:{relay}", f"organization:{organization}", f"quota:{relay}", f"contended:{relay}"]
        return [PREFIX + name for name in (*head, *(f"domain:{domain}" for domain in demand))]

    def _arguments(self, organization: str, demand: Mapping[str, int], relay: str) -> list[str | int | float]:
        limits = self.limits
        rates = (limits.of("relay", relay), limits.of("organization", organization), limits.of("domain", EVERY), limits.of("quota", relay))
        now = self._clock() if self._clock else 0
        own = [limits.of("domain", domain) for domain in demand] if limits.singles_out_domains else []
        return [*rates, organization, now, *demand.values(), *own]

    def _nothing(self, error: Exception) -> Grant:
        if not self._away:
            log.warning("limiter_away", error=type(error).__name__)
        self._away = True
        return Grant(letters={}, wait_seconds=AWAY_SECONDS)
