"""Letters leave here: pooled, pipelined connections to the relay, and the limits that all processes share."""

from workers.mailer.fleet import Fleet
from workers.mailer.limiter import RedisLimiter
from workers.mailer.orders import Signboard, follow_orders
from workers.mailer.pool import MailerStatus, PooledMailer

__all__ = ["Fleet", "MailerStatus", "PooledMailer", "RedisLimiter", "Signboard", "follow_orders"]
