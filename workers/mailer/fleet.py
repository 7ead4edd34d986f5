"""Several relays as one mailer: letters by weight to those that are well, and to whoever is left when one is not.

Each relay has its own connections, breaker, pace and window. A wave goes to one relay; what has not begun when that one's breaker opens
comes back as unsent, nobody's attempt, and the next wave takes it elsewhere. What a relay may have taken is never given to another one
here: that is the ledger's to decide, and it sends the same bytes.
"""

import asyncio
import ssl
from collections.abc import Sequence
from email.utils import parseaddr
from functools import partial
from typing import Self

from jobs.ports import Envelope, Recorder
from workers.mailer.connection import local_hostname, tls_context
from workers.mailer.pool import MailerStatus, PooledMailer
from workers.mailer.terms import Terms
from workers.settings import Relay, Security, Settings


class Fleet:
    """The `Mailer` of `jobs.ports` over one relay or more. Owns their mailers until `aclose`."""

    def __init__(self, mailers: Sequence[tuple[PooledMailer, int]]) -> None:
        self._mailers = {mailer.relay: mailer for mailer, _ in mailers}
        self._weights = {mailer.relay: weight for mailer, weight in mailers}
        self._given = dict.fromkeys(self._mailers, 0.0)
        for mailer in self._mailers.values():
            mailer.has_stand_in = partial(self._is_another_well, mailer)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the mailer for all relays of `SMTP_URL`, within the settings' limits."""
        hostname = local_hostname(parseaddr(settings.mail_from)[1].rpartition("@")[2])
        needs_tls = any(relay.security is not Security.PLAIN for relay in settings.relays)
        tls = tls_context(settings.smtp_ca) if needs_tls else None
        return cls([(_mailer(relay, settings, hostname, tls), relay.weight) for relay in settings.relays])

    @property
    def retry_in_seconds(self) -> float:
        """Seconds until some relay is tried again; 0: one may be tried now."""
        return min(mailer.retry_in_seconds for mailer in self._mailers.values())

    def turn(self) -> list[str]:
        """Return the relays that may be tried now, whoever is behind its weight first; those of weight 0 only without any other."""
        may = [name for name, mailer in self._mailers.items() if not mailer.retry_in_seconds]
        weighted = [name for name in may if self._weights[name]]
        self._let_nobody_catch_up(weighted)
        return sorted(weighted or may, key=lambda name: self._given[name])

    def statuses(self) -> tuple[MailerStatus, ...]:
        """Return how each relay stands, in the order of the settings."""
        return tuple(mailer.status() for mailer in self._mailers.values())

    def close_breaker(self, relay: str, *, seconds: float) -> None:
        """Try a relay again at once, because somebody said so, and for so long make no pause worth the name."""
        if relay in self._mailers:
            self._mailers[relay].close_breaker(relay, seconds=seconds)

    async def send(self, envelopes: Sequence[Envelope], recorder: Recorder, *, seconds: float, relay: str | None = None) -> None:
        """Send every envelope through `relay`, by default the one whose turn it is, or give it back, as `jobs.ports.Mailer` says."""
        name = relay or next(iter(self.turn()), None) or next(iter(self._mailers))
        self._given[name] += len(envelopes) / (self._weights[name] or 1)
        await self._mailers[name].send(envelopes, recorder, seconds=seconds)

    def drain(self) -> None:
        """Begin no more letters, now and in later calls."""
        for mailer in self._mailers.values():
            mailer.drain()

    async def aclose(self, *, seconds: float = 10) -> None:
        """Drain, let what is under way be answered for at most `seconds`, and close every connection."""
        await asyncio.gather(*(mailer.aclose(seconds=seconds) for mailer in self._mailers.values()))

    def _is_another_well(self, but: PooledMailer) -> bool:
        return any(mailer.is_well for mailer in self._mailers.values() if mailer is not but)

    def _let_nobody_catch_up(self, well: Sequence[str]) -> None:
        """A relay that was away does not get all letters until it has had as many as the others."""
        if 0 < len(well) < len(self._given):
            most = max(self._given[name] for name in well)
            self._given |= {name: max(given, most) for name, given in self._given.items() if name not in well}


def _mailer(relay: Relay, settings: Settings, hostname: str, tls: ssl.SSLContext | None) -> PooledMailer:
    return PooledMailer(
        relay,
        hostname=hostname,
        connections=settings.connections,
        connections_per_minute=settings.connections_per_minute,
        terms=Terms(letters=settings.letters_per_connection),
        tls=tls,
    )
