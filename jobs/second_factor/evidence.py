"""Before a bound factor is replaced or removed, or its recovery codes are renewed, the member shows it once more.

That is a code of the factor, or the ticket that a recovery code gave. A session alone is not enough: it may be a thief's.
"""

from datetime import datetime
from uuid import UUID

from jobs.keys import KeyRing
from jobs.second_factor import tickets
from jobs.second_factor.answers import Refused
from jobs.second_factor.member import FirstFactor
from jobs.second_factor.refusals import Refusal, refuse
from jobs.second_factor.verification import verify
from jobs.store.database import Connection


async def refuse_unshown(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    bound: UUID,
    *,
    user_id: object,
    now: datetime,
    code: str | None,
    ticket: str | None,
    at: datetime | None,
) -> Refused | None:
    """Return why not, or `None`: the member has shown the factor `bound`. `user_id` is the id as PostgreSQL gives it."""
    if ticket is not None:
        return None if tickets.is_good(keys, ticket, user_id, bound, now) else refuse(member.user_id, Refusal.TICKET)
    if code is None:
        return refuse(member.user_id, Refusal.UNSHOWN)
    answer = await verify(db, keys, member, code, at=at)
    return answer if isinstance(answer, Refused) else None
