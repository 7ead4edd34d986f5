"""Which sending limits hold at this moment: those of the configuration, and those that people have set instead."""

from dataclasses import dataclass

from jobs.store import steering
from jobs.store.database import Connection
from jobs.store.steering import LimitScope, SendLimit
from workers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Letters a second, for `quota` letters in 24 hours; 0: no limit. `own` are those that people set, by scope and subject."""

    relays: tuple[str, ...]
    configured: dict[LimitScope, float]
    own: dict[tuple[LimitScope, str], SendLimit]

    def amount(self, scope: LimitScope, subject: str = "") -> float:
        """Return what holds for one relay, organization or domain."""
        own = self.own_of(scope, subject)
        return self.configured[scope] if own is None else own.amount

    def own_of(self, scope: LimitScope, subject: str = "") -> SendLimit | None:
        """Return what somebody set for it, or for every one; `None`: the configuration holds."""
        return self.own.get((scope, subject)) or self.own.get((scope, ""))

    @property
    def quota(self) -> float:
        """Letters in 24 hours through all relays together; 0: no limit."""
        return self._together(LimitScope.QUOTA)

    def for_run(self, organization_id: str) -> float:
        """Return the letters a second that one organization's run can count on at best; 0: no limit."""
        limits = [self._together(LimitScope.RELAY), self.amount(LimitScope.ORGANIZATION, organization_id)]
        return min(filter(None, limits), default=0.0)

    def _together(self, scope: LimitScope) -> float:
        """Return what all relays take together: without a limit as soon as one has none."""
        amounts = [self.amount(scope, relay) for relay in self.relays]
        return sum(amounts) if all(amounts) else 0.0


async def read(db: Connection, settings: Settings) -> Budget:
    """Return the limits that hold now."""
    configured = {
        LimitScope.RELAY: settings.relay_rate,
        LimitScope.ORGANIZATION: settings.organization_rate,
        LimitScope.DOMAIN: settings.domain_rate,
        LimitScope.QUOTA: float(settings.daily_quota),
    }
    own = {(one.scope, one.subject): one for one in await steering.list_limits(db)}
    return Budget(relays=tuple(relay.name for relay in settings.relays), configured=configured, own=own)
