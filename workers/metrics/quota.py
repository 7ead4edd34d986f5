"""How much of each relay's daily quota is used, as the mailers' limiter counts it in Redis: slots of a quarter of an hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import AfterValidator, Field

from workers.mailer.limiter import PREFIX
from workers.settings import Count, Environment, Relay

if TYPE_CHECKING:
    import redis

DAY_SECONDS = 86_400
SLOT_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One relay's: letters that may leave in 24 hours, and how many have."""

    relay: str
    letters: float
    used: int


def _can_be_read(value: str) -> str:
    Relay.parse_all(value)
    return value


class QuotaSettings(Environment):
    """What the metrics server knows of relays, where it is told: the same variables as the mailers'."""

    smtp_url: Annotated[str, AfterValidator(_can_be_read)] = Field(default="", alias="SMTP_URL", repr=False)
    daily_quota: Count = Field(default=0, alias="PORTCULLIS_DAILY_QUOTA")

    @property
    def relays(self) -> tuple[str, ...]:
        """The relays' names (`host:port`)."""
        return tuple(relay.name for relay in Relay.parse_all(self.smtp_url)) if self.smtp_url else ()

    def limit(self, relay: str, orders: Mapping[tuple[str, str], float]) -> float:
        """Return a relay's quota: what was ordered for it, or for every one, or the setting; 0 is none."""
        return orders.get(("quota", relay), orders.get(("quota", ""), float(self.daily_quota)))


def used(client: "redis.Redis", relay: str) -> int:
    """Return the letters of the last 24 hours; a slot counts until all of it is older, as in `limiter.lua`."""
    now, _ = client.time()
    slots = cast("dict[bytes, bytes]", client.hgetall(f"{PREFIX}quota:{relay}"))
    return sum(int(letters) for slot, letters in slots.items() if (int(slot) + 1) * SLOT_SECONDS > now - DAY_SECONDS)
