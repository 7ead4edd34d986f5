"""Follow what people order while letters leave, and show them how the relays stand: no restart, no message, PostgreSQL only.

Each mailer process looks every second: at sending limits, and at whether somebody has closed the breaker of one of its relays. While
PostgreSQL is away, what it said last holds.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

import structlog

from jobs.breakers import Breakers
from jobs.store import breakers as store
from jobs.store.database import WEATHER, Database
from jobs.store.send_limits import read_send_limits
from workers.mailer.breaker import BreakerState, Trouble
from workers.mailer.limiter import RedisLimiter
from workers.mailer.pool import MailerStatus

LOOK_SECONDS = 1.0

log = structlog.get_logger()


class Relays(Protocol):
    """The mailer, as far as its relays go."""

    def statuses(self) -> tuple[MailerStatus, ...]:
        """Return how each relay stands."""

    def close_breaker(self, relay: str, *, seconds: float) -> None:
        """Try a relay again at once, and for so long make no pause worth the name."""


class Signboard:
    """What one process shows of its relays in `portcullis.breaker`: rows for those that are away, none for those that are well."""

    def __init__(self, db: Database, holder: str, relays: Relays) -> None:
        self._db = db
        self._holder = holder
        self._relays = relays
        self._shown: dict[str, tuple[BreakerState, Trouble]] = {}

    async def show(self) -> None:
        """Write what has changed since the last time."""
        for status in self._relays.statuses():
            if status.trouble is None:
                if self._shown.pop(status.relay, None):
                    await store.forget_relays(self._db, self._holder, [status.relay])
            elif self._shown.get(status.relay) != (said := (status.breaker, status.trouble)):
                await self._show(status, status.trouble)
                self._shown[status.relay] = said

    async def obey(self, rows: list[store.Shown]) -> None:
        """Close what somebody has closed."""
        for row in rows:
            if row.state == "closed" and row.changed_by is not None:
                self._relays.close_breaker(row.subject, seconds=row.held_for or 0.0)
                self._shown.pop(row.subject, None)
                if not row.held_for:
                    await store.forget_relays(self._db, self._holder, [row.subject])

    async def take_down(self) -> None:
        """Say nothing of any relay any more: the process ends."""
        await store.forget_relays(self._db, self._holder, [status.relay for status in self._relays.statuses()])

    async def _show(self, status: MailerStatus, trouble: Trouble) -> None:
        receipt = trouble.receipt
        words = (str(receipt.stage), str(receipt.code or ""), receipt.enhanced or "", receipt.text)
        state = "probing" if status.breaker is BreakerState.PROBING else "open"
        await store.show_relay(
            self._db,
            status.relay,
            self._holder,
            state=state,
            cause=" ".join(word for word in words if word),
            since=trouble.since,
            retry_in=status.retry_in_seconds,
        )


async def follow_orders(
    db: Database,
    limiter: RedisLimiter,
    *,
    breakers: Breakers | None = None,
    signboard: Signboard | None = None,
    seconds: float = LOOK_SECONDS,
) -> None:
    """Keep limiter and relays at what is ordered, until cancelled. An order that makes no sense leaves everything as it was."""
    try:
        while True:
            try:
                await follow_once(db, limiter)
                if signboard is not None:
                    await signboard.obey(breakers.relays if breakers else [])
                    await signboard.show()
            except WEATHER as weather:
                log.debug("orders_unread", error=type(weather).__name__)
            except Exception:
                log.exception("orders_unread")
            await asyncio.sleep(seconds)
    finally:
        if signboard is not None:
            with suppress(*WEATHER):
                await signboard.take_down()


async def follow_once(db: Database, limiter: RedisLimiter) -> None:
    """Take over the limits that are ordered now.

    Raises:
        ValueError: A limit is below nothing; the ones before go on holding.
    """
    orders = await read_send_limits(db)
    if orders != limiter.limits.orders:
        limiter.limits = limiter.limits.under(orders)
        log.info("send_limits_changed", orders=[f"{scope} {subject}: {amount:g}" for (scope, subject), amount in sorted(orders.items())])
