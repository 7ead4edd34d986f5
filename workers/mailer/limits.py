"""Which sending limits hold: the settings', and before them what somebody has ordered since (`portcullis.send_limit`).

An order for one relay, organization or recipient domain comes first, then an order for every one, then the setting.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from workers.settings import Settings

EVERY = ""
"""The subject of an order that is for every one of its scope."""

Orders = Mapping[tuple[str, str], float]
"""Letters a second, for `quota` letters in 24 hours, by scope (relay, organization, domain, quota) and subject; 0 is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Letters a second, and letters in 24 hours; 0: off.

    Raises:
        ValueError: One of them is below nothing, or no number.
    """

    relay_rate: float = 0
    organization_rate: float = 0
    domain_rate: float = 0
    daily_quota: float = 0
    orders: Orders = field(default_factory=dict)

    def __post_init__(self) -> None:
        for amount in (*self._settings().values(), *self.orders.values()):
            if not (amount >= 0 and math.isfinite(amount)):
                raise ValueError(f"a sending limit is 0 (off) or more, not {amount}")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits of the configuration."""
        return cls(
            relay_rate=settings.relay_rate,
            organization_rate=settings.organization_rate,
            domain_rate=settings.domain_rate,
            daily_quota=settings.daily_quota,
        )

    def under(self, orders: Orders) -> Self:
        """Return the limits that hold while these orders stand, and no earlier ones."""
        return replace(self, orders=dict(orders))

    @property
    def off(self) -> bool:
        """Whether nothing is limited, whatever letter it is."""
        usual = {(scope, EVERY): amount for scope, amount in self._settings().items()}
        return not any((usual | dict(self.orders)).values())

    def of(self, scope: str, subject: str) -> float:
        """Return the limit of one relay (`host:port`), organization or recipient domain; 0: none."""
        orders = self.orders
        if not orders:
            return self._settings()[scope]
        ordered = orders.get((scope, subject))
        return orders.get((scope, EVERY), self._settings()[scope]) if ordered is None else ordered

    @property
    def singles_out_domains(self) -> bool:
        """Whether a recipient domain has a limit of its own."""
        return any(scope == "domain" and subject != EVERY for scope, subject in self.orders)

    def _settings(self) -> dict[str, float]:
        return {
            "relay": self.relay_rate,
            "organization": self.organization_rate,
            "domain": self.domain_rate,
            "quota": self.daily_quota,
        }
