"""Follow what people order while letters leave: sending limits, as they stand in PostgreSQL. No restart, no message.

Each mailer process looks every second. While PostgreSQL is away, what it said last holds.
"""

import asyncio

import structlog

from jobs.store.database import WEATHER, Database
from jobs.store.send_limits import read_send_limits
from workers.mailer.limiter import RedisLimiter

LOOK_SECONDS = 1.0

log = structlog.get_logger()


async def follow_orders(db: Database, limiter: RedisLimiter, *, seconds: float = LOOK_SECONDS) -> None:
    """Keep the limiter at what is ordered, until cancelled. An order that makes no sense leaves the limits as they are."""
    while True:
        try:
            await follow_once(db, limiter)
        except WEATHER as weather:
            log.debug("orders_unread", error=type(weather).__name__)
        except Exception:
            log.exception("orders_unread")
        await asyncio.sleep(seconds)


async def follow_once(db: Database, limiter: RedisLimiter) -> None:
    """Take over what is ordered now.

    Raises:
        ValueError: A limit is below nothing; the ones before go on holding.
    """
    orders = await read_send_limits(db)
    if orders != limiter.limits.orders:
        limiter.limits = limiter.limits.under(orders)
        log.info("send_limits_changed", orders=[f"{scope} {subject}: {amount:g}" for (scope, subject), amount in sorted(orders.items())])
