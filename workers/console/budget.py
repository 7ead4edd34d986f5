"""Which sending limits hold at this moment: those of the configuration, and those that people have set instead."""

from dataclasses import dataclass

from jobs.store import steering
from jobs.store.database import Connection
from jobs.store.steering import LimitScope, SendLimit
from workers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Letters a second, for `quota` letters in 24 hours; 0: no limit. `own` are those that people set, by scope and subject."""

    relay: str
    configured: dict[LimitScope, float]
    own: dict[tuple[LimitScope, str], SendLimit]

    def amount(self, scope: LimitScope, subject: str = "") -> float:
        """Return what holds for one relay, organization or domain."""
        for key in ((scope, subject), (scope, "")):
            if key in self.own:
                return self.own[key].amount
        return self.configured[scope]

    def is_own(self, scope: LimitScope, subject: str = "") -> bool:
        """Tell whether somebody set it."""
        return (scope, subject) in self.own

    def for_run(self, organization_id: str) -> float:
        """Return the letters a second that one organization's run can count on at best; 0: no limit."""
        limits = [self.amount(LimitScope.RELAY, self.relay), self.amount(LimitScope.ORGANIZATION, organization_id)]
        return min(filter(None, limits), default=0.0)


async def read(db: Connection, settings: Settings) -> Budget:
    """Return the limits that hold now."""
    configured = {
        LimitScope.RELAY: settings.relay_rate,
        LimitScope.ORGANIZATION: settings.organization_rate,
        LimitScope.DOMAIN: settings.domain_rate,
        LimitScope.QUOTA: float(settings.daily_quota),
    }
    own = {(one.scope, one.subject): one for one in await steering.list_limits(db)}
    return Budget(relay=settings.relay.name, configured=configured, own=own)
