"""Say no: one answer to the member, the reason to the log and the count."""

from collections import Counter
from enum import StrEnum

import structlog

from jobs.second_factor.answers import REFUSED, Refused
from jobs.second_factor.sealing import UnreadableError

log = structlog.get_logger(__name__)


class Refusal(StrEnum):
    """Why something that was typed was refused."""

    MALFORMED = "malformed"
    """It could not be a code: five digits, letters, digits of another alphabet."""
    UNKNOWN = "unknown"
    """There is nothing it could be a code of."""
    LOCKED = "locked"
    """Too many failures; not looked at."""
    DISABLED = "disabled"
    """The factor must be bound again; not looked at."""
    WRONG = "wrong"
    REPLAYED = "replayed"
    """A code of this step, or a later one, was accepted before."""
    UNREADABLE = "unreadable"
    """Our own fault: the key is missing, or the secret was altered. Not counted against the member."""
    TICKET = "ticket"
    """The ticket is not one, has expired, or is for another factor."""
    UNSHOWN = "unshown"
    """A factor is bound, and neither a code of it nor a ticket was given."""
    FIRST_FACTOR = "first_factor"
    """A recovery code goes together with a password only."""
    PENDING = "pending"
    """Nothing was begun, or it waited too long, or too many codes were tried."""


counted: Counter[Refusal] = Counter()
"""Refusals of this process since it started, for its metrics."""


def refuse(user_id: object, reason: Refusal) -> Refused:
    """Log and count, and return the one answer there is."""
    note(user_id, reason)
    return REFUSED


def note(user_id: object, reason: Refusal) -> None:
    """Log and count what is answered with something else than `REFUSED`."""
    counted[reason] += 1
    log.info("code_refused", user=str(user_id), reason=str(reason))


def unreadable(user_id: object, error: UnreadableError) -> Refused:
    """Refuse for a fault of ours, and call for ops."""
    log.error("secret_unreadable", user=str(user_id), item=str(error.place.item_id), key=error.key_id, why=error.why)
    return refuse(user_id, Refusal.UNREADABLE)
