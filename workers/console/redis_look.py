"""What Redis holds, as far as people want to see it: hints in the queues, and how much of the sending limits is spent.

Redis only holds hints and counts, so not being able to look is said on the page and hinders nothing else.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from redis.exceptions import RedisError

from workers.broker import Depth
from workers.broker.portcullis_broker import connect, count_hints
from workers.mailer.limiter import PREFIX
from workers.metrics.quota import used

MOST_DOMAINS: Final = 100
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What limits have been taken of.

    `ahead`: by kind and name, for how many seconds of its rate one is taken beforehand; `day`: letters of the last 24 hours, by relay.
    """

    ahead: dict[tuple[str, str], float] = field(default_factory=dict)
    day: dict[str, int] = field(default_factory=dict)
    is_known: bool = True


class RedisLook:
    """Looks into Redis; changes nothing there."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def depths(self) -> dict[str, Depth] | None:
        """Return what waits in each queue; `None`: Redis can't be asked."""
        try:
            return await asyncio.to_thread(count_hints, self._client)
        except (RedisError, OSError):
            return None

    async def spent(self, relays: Sequence[str]) -> Spent:
        """Return how much of the limits is spent, and of these relays' days."""
        try:
            return await asyncio.to_thread(self._spent, relays)
        except (RedisError, OSError):
            return Spent(is_known=False)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._client.close)

    def _spent(self, relays: Sequence[str]) -> Spent:
        seconds, microseconds = self._client.time()
        now = seconds + microseconds / MICROSECONDS
        keys = [key.decode() for key in self._few_keys()]
        rates = [
            key for key in keys if _kind(key) in ("relay", "organization", "domain") and ":share:" not in key and ":contenders" not in key
        ]
        found = cast("list[bytes | None]", self._client.mget(rates)) if rates else []
        ahead = {_named(key): float(tat) / MICROSECONDS - now for key, tat in zip(rates, found, strict=True) if tat is not None}
        day = {relay: used(self._client, relay) for relay in relays}
        return Spent(ahead={name: max(0.0, value) for name, value in ahead.items()}, day=day)

    def _few_keys(self) -> list[bytes]:
        """Return names of limits. Each lives only as long as it says something, so there are few; more than enough are passed over."""
        keys: list[bytes] = []
        for key in self._client.scan_iter(f"{PREFIX}*", count=500):
            keys.append(key)
            if len(keys) >= 10 * MOST_DOMAINS:
                break
        return keys


def _kind(key: str) -> str:
    return key.removeprefix(PREFIX).partition(":")[0]


def _named(key: str) -> tuple[str, str]:
    kind, _, name = key.removeprefix(PREFIX).partition(":")
    return kind, name
