"""The mailer: sends waves of letters over pooled connections to one relay.

Safe to repeat only as far as its receipts say: `UNSENT` and `RELAY` letters were surely not taken, an `UNCERTAIN` one may have been.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.ports import Envelope, Receipt, Recorder, Scope
from workers.mailer.breaker import BreakerState, RelayBreaker, Trouble
from workers.mailer.concurrency import Concurrency
from workers.mailer.connection import Opened, open_connection, tls_context
from workers.mailer.pace import Pace
from workers.mailer.staff import Staff
from workers.mailer.terms import Terms
from workers.mailer.waves import Wave, unsent
from workers.settings import Relay, Security


@dataclass(frozen=True, slots=True, kw_only=True)
class MailerStatus:
    """What a mailer is doing, for people and metrics. `waiting` counts letters not begun, `window` is the connections worth having."""

    relay: str
    connections: int
    window: int
    waiting: int
    breaker: BreakerState
    trouble: Trouble | None
    retry_in_seconds: float


class PooledMailer:
    """The `Mailer` of `jobs.ports` for one relay. Belongs to one event loop; owns its connections until `aclose`."""

    def __init__(
        self,
        relay: Relay,
        *,
        hostname: str,
        connections: int = 16,
        connections_per_minute: int = 100,
        terms: Terms | None = None,
        tls: ssl.SSLContext | None = None,
        breaker: RelayBreaker | None = None,
    ) -> None:
        self._relay = relay
        self.has_stand_in: Callable[[], bool] = lambda: False
        """Whether another relay is well, to which letters go that this one has not begun."""
        self._hostname = hostname
        self._terms = terms or Terms()
        self._tls = None if relay.security is Security.PLAIN else tls or tls_context()
        self._staff = Staff(
            self._connect,
            name=relay.name,
            terms=self._terms,
            breaker=breaker or RelayBreaker(),
            concurrency=Concurrency(limit=connections),
            pace=Pace(connections_per_minute),
            has_stand_in=self._has_stand_in,
        )

    @property
    def relay(self) -> str:
        """The relay, host:port."""
        return self._relay.name

    @property
    def is_well(self) -> bool:
        """Whether the relay is believed to be well; one that is only being tried is not."""
        return self._staff.breaker.trouble is None and not self._staff.draining

    def turn(self) -> list[str]:
        """Return the one relay there is, as whoever has several does."""
        return [self._relay.name]

    @property
    def retry_in_seconds(self) -> float:
        """Seconds until the relay is tried again; 0: it may be tried now."""
        return self._staff.breaker.retry_in_seconds

    def status(self) -> MailerStatus:
        """Return what the mailer is doing now."""
        breaker = self._staff.breaker
        return MailerStatus(
            relay=self._relay.name,
            connections=len(self._staff),
            window=self._staff.concurrency.window,
            waiting=self._staff.turns.waiting,
            breaker=breaker.state,
            trouble=breaker.trouble,
            retry_in_seconds=breaker.retry_in_seconds,
        )

    def statuses(self) -> tuple[MailerStatus, ...]:
        """Return the same, as whoever has several relays does."""
        return (self.status(),)

    def close_breaker(self, relay: str, *, seconds: float) -> None:
        """Try the relay again at once, because somebody said so, and for so long make no pause worth the name."""
        if relay == self._relay.name and self._staff.breaker.hold_closed(seconds):
            self._staff.call_soon()

    async def send(self, envelopes: Sequence[Envelope], recorder: Recorder, *, seconds: float, relay: str | None = None) -> None:  # noqa: ARG002 -- the port's: there is one relay here
        """Send every envelope or give it back, as `jobs.ports.Mailer` says. Several calls at a time share the pool, letter by letter.

        Raises:
            Exception: Only what the recorder itself raised. Every letter has had its receipt, also then and after a cancellation.
        """
        turns = self._staff.turns
        wave = Wave(envelopes, recorder, deadline=asyncio.get_running_loop().time() + seconds)
        wave.settle_unfit()
        if refusal := self._refusal():
            wave.give_back(refusal)
        turns.enter(wave)
        try:
            await turns.attend(wave)
        finally:
            self._leave(wave)
        if wave.failure:
            raise wave.failure

    def drain(self) -> None:
        """Begin no more letters, now and in later calls: what has not begun goes back as `UNSENT`."""
        self._staff.draining = True
        self._staff.turns.give_all_back(unsent("the mailer is draining"))

    async def aclose(self, *, seconds: float = 10) -> None:
        """Drain, let what is under way be answered for at most `seconds`, and close every connection. May be called twice."""
        self.drain()
        await self._staff.dismiss(seconds)

    def _has_stand_in(self) -> bool:
        return self.has_stand_in()

    def _leave(self, wave: Wave) -> None:
        """Forget a wave. One that still owes receipts was cancelled, or its recorder failed."""
        if wave.owed:
            wave.abandoned = True
            wave.give_back(unsent("the call was cancelled"))
            self._staff.abandon(wave)
        self._staff.turns.leave(wave)

    def _refusal(self) -> Receipt | None:
        """Return why no letter is tried at present."""
        if self._staff.draining:
            return unsent("the mailer is draining")
        breaker = self._staff.breaker
        if breaker.trouble is None or breaker.state is not BreakerState.OPEN:
            return None
        if self.has_stand_in():
            return unsent(f"{self._relay.name} is away, another relay takes over")
        first = breaker.trouble.receipt
        text = f"the relay {self._relay.name} is away since {breaker.trouble.since:%H:%M:%S} UTC: {first.text}"[:200]
        return Receipt(scope=Scope.RELAY, stage=first.stage, code=first.code, enhanced=first.enhanced, text=text)

    async def _connect(self) -> Opened:
        return await open_connection(self._relay, tls=self._tls, hostname=self._hostname, seconds=self._terms.connect_seconds)
