"""End the sessions of one batch's unprotected members. Stage three of five.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: one transaction decides, ends, records and closes the batch under its token, and an ended session is left alone; so a
message delivered twice changes nothing, and a crash leaves either all of it or none.
"""

import asyncio

import structlog

from jobs import instruments
from jobs.domain.verdicts import Verdict
from jobs.failpoints import reach
from jobs.resources import Resources
from jobs.store import runs
from jobs.store.batches import Claim
from jobs.store.runs import Enforced

log = structlog.get_logger(__name__)


async def enforce(resources: Resources, claim: Claim) -> None:
    """Decide on every member of the claimed range and end what must end; about 500 members.

    Raises:
        Deferred: Somebody is switching at this moment.
        Obsolete: The run was cancelled or superseded after the claim.
        TimeoutError: It took longer than the lease allows; nothing was written.
    """
    async with asyncio.timeout(resources.lease.total_seconds() * 0.8):
        enforced = await _enforce(resources, claim)
    reach("after_enforce")
    _count(enforced)
    log.info("batch_enforced", members=enforced.members, unprotected=enforced.unprotected, sessions_ended=enforced.sessions_ended)


def _count(enforced: Enforced) -> None:
    for verdict in Verdict:
        instruments.MEMBERS_JUDGED.labels(verdict).inc(getattr(enforced, verdict))
    instruments.SESSIONS_ENDED.inc(enforced.sessions_ended)


async def _enforce(resources: Resources, claim: Claim) -> Enforced:
    # Spelled out, in case the database's default is stricter: what is decided on is read after the lock was granted.
    async with resources.pool.acquire() as connection, connection.transaction(isolation="read_committed"):
        enforced = await runs.enforce(connection, claim, resources.audit_key)
        reach("in_enforce")
        return enforced
