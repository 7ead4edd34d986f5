"""Everything that is asked at a scrape: how PostgreSQL and Redis stand now. What is away is said to be away, never guessed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import redis
import structlog

from jobs.store import counts, measures
from jobs.store.counts import Count
from jobs.store.database import WEATHER, Pool
from jobs.store.measures import AuditMeasure, GateMeasure, ProcessMeasure, QueueMeasure, RunMeasure, SteeringMeasure
from jobs.store.send_limits import read_send_limits
from workers.broker import Depth
from workers.broker.portcullis_broker import count_hints
from workers.metrics.quota import Quota, QuotaSettings, used

ASK_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What PostgreSQL knows."""

    queues: list[QueueMeasure]
    runs: RunMeasure
    processes: list[ProcessMeasure]
    steering: list[SteeringMeasure]
    gate: GateMeasure
    audit: list[AuditMeasure]
    limits: Mapping[tuple[str, str], float]
    counts: list[Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`known`: `None` while PostgreSQL can't be asked; `depths` by queue and `quotas`: empty while Redis can't."""

    known: Known | None
    depths: Mapping[str, Depth] = field(default_factory=dict)
    quotas: Sequence[Quota] = ()

    @property
    def drifts(self) -> dict[str, int]:
        """Hints that PostgreSQL believes to be with workers, less those that Redis has, by queue; not 0 for long means that one forgot."""
        if self.known is None:
            return {}
        queues = {queue.queue: queue.hinted + queue.in_flight for queue in self.known.queues}
        return {name: queues[name] - depth.waiting - depth.taken for name, depth in self.depths.items()}


async def look(pool: Pool, client: "redis.Redis", quota: QuotaSettings | None = None) -> Standing:
    """Ask both, at the same time, for five seconds at most."""
    quota = quota or QuotaSettings()
    known, (depths, spent) = await asyncio.gather(_ask_database(pool), asyncio.to_thread(_ask_redis, client, quota.relays))
    limits = {relay: quota.limit(relay, known.limits if known else {}) for relay in spent}
    quotas = [Quota(relay=relay, letters=limits[relay], used=letters) for relay, letters in spent.items() if limits[relay]]
    return Standing(known=known, depths=depths, quotas=quotas)


async def _ask_database(pool: Pool) -> Known | None:
    try:
        async with asyncio.timeout(ASK_SECONDS), pool.acquire() as db:
            return Known(
                queues=await measures.queues(db),
                runs=await measures.runs(db),
                processes=await measures.processes(db),
                steering=await measures.steering(db),
                gate=await measures.gate(db),
                audit=await measures.audit(db),
                limits=await read_send_limits(db),
                counts=await counts.list_all(db),
            )
    except (*WEATHER, asyncpg.PostgresError) as error:
        log.warning("database_not_measured", error=type(error).__name__)
        return None


def _ask_redis(client: "redis.Redis", relays: Sequence[str]) -> tuple[dict[str, Depth], dict[str, int]]:
    try:
        return count_hints(client), {relay: used(client, relay) for relay in relays}
    except (redis.RedisError, OSError) as error:
        log.warning("redis_not_measured", error=type(error).__name__)
        return {}, {}
