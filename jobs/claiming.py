"""Claim before work: the frame that every stage runs in.

A message is a hint. The frame claims the batch it points to, runs the stage under a deadline shorter than the lease, and turns
whatever happens into a row: done, due later, or put aside for a human. So a message delivered twice, late or never costs time only.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import perf_counter

import asyncpg
import structlog

from jobs import instruments, tracing
from jobs.domain.backoff import full_jitter
from jobs.errors import Broken, Deferred, Obsolete
from jobs.failpoints import reach
from jobs.resources import Resources
from jobs.store import batches
from jobs.store.batches import Claim, Stage
from jobs.store.database import is_weather

log = structlog.get_logger(__name__)

Work = Callable[[Resources, Claim], Awaitable[None]]

REPORTED_CHARACTERS = 500


async def run_claimed(
    resources: Resources, work: Work, *, stages: tuple[Stage, ...], run_id: int, batch_id: int, token: int, lease: timedelta | None = None
) -> None:
    """Claim one batch and do its work, if it still wants doing. Never raises for what can be written down.

    Raises:
        OSError, asyncpg.PostgresError: The database can't be reached; the lease runs out and the conductor hints again.
    """
    lease = lease or resources.lease
    reach("before_claim")
    claim = await batches.claim(
        resources.pool, run_id=run_id, batch_id=batch_id, token=token, stages=stages, lease=lease, holder=resources.holder
    )
    if claim is None:
        instruments.OUTDATED_HINTS.inc()
        log.debug("hint_outdated", run=run_id, batch=batch_id, token=token)
        return
    reach("after_claim")
    resources.held.add(batch_id)
    try:
        with structlog.contextvars.bound_contextvars(run=run_id, batch=batch_id, stage=str(claim.stage), attempt=claim.attempts):
            await _measured(resources, claim, work)
    finally:
        resources.held.discard(batch_id)


async def _measured(resources: Resources, claim: Claim, work: Work) -> None:
    """Do it, and count how it ended and how long it took."""
    began, ending = perf_counter(), "cut_off"
    try:
        ending = await _do(resources, claim, work)
    finally:
        instruments.BATCHES.labels(claim.stage, ending).inc()
        instruments.BATCH_SECONDS.labels(claim.stage).observe(perf_counter() - began)


async def _do(resources: Resources, claim: Claim, work: Work) -> str:
    """Return how it ended, in one of the words of `instruments.ENDINGS`."""
    ending = "done"
    try:
        with tracing.batch(claim):
            await work(resources, claim)
    except Obsolete:
        ending = "obsolete"
        log.info("batch_obsolete")
        await batches.let_go(resources.pool, claim)
    except Deferred as deferred:
        ending = "deferred"
        await batches.release(resources.pool, claim, seconds=deferred.seconds, is_attempt=False, error=deferred.reason)
    except Broken as broken:
        ending = "broken"
        log.error("batch_broken", reason=broken.reason)  # noqa: TRY400 -- the reason says it all
        await batches.bury(resources.pool, claim, broken.reason)
    except asyncio.CancelledError:
        await asyncio.shield(batches.release(resources.pool, claim, seconds=0, is_attempt=False))
        raise
    except (TimeoutError, asyncpg.QueryCanceledError) as slowness:
        ending = "slow"
        # Not weather: a batch that is always too slow would otherwise be tried for ever.
        await _try_again(resources, claim, slowness, is_attempt=True)
    except Exception as error:
        ending = "weather" if is_weather(error) else "failed"
        if ending == "failed":
            log.exception("batch_failed")
        await _try_again(resources, claim, error, is_attempt=ending == "failed")
    return ending


async def _try_again(resources: Resources, claim: Claim, error: BaseException, *, is_attempt: bool) -> None:
    seconds = full_jitter(claim.attempts, random.random(), first_seconds=0.5, most_seconds=60 if is_attempt else 5)  # noqa: S311
    reason = f"{type(error).__name__}: {error}"[:REPORTED_CHARACTERS]
    log.warning("batch_deferred", seconds=round(seconds, 2), is_attempt=is_attempt, error=type(error).__name__)
    await batches.release(resources.pool, claim, seconds=seconds, is_attempt=is_attempt, error=reason)
