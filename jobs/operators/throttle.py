"""Count an attempt before it is looked at: no number of guesses at the same moment, processes or restarts lets one more through.

What is counted apart: a password, per operator and address, so that a stranger elsewhere locks nobody out; a code, per operator, and only
behind the right password; an invitation, per operator and address.
"""

import hashlib
from datetime import datetime
from enum import StrEnum

from jobs.second_factor.rules import FIRST_WAIT, FREE_FAILURES, LONGEST_WAIT, MOST_FAILURES
from jobs.store.database import Database
from jobs.store.statements import statement

RESERVE = statement("reserve_operator_attempt")

NEVER = 2**31 - 1
"""More failures than anybody can have."""


class Tried(StrEnum):
    """What somebody tries."""

    PASSWORD = "password"  # noqa: S105 -- a word for what is tried
    CODE = "code"
    FIRST_CODE = "first_code"
    INVITATION = "invitation"


MOST = {Tried.CODE: MOST_FAILURES, Tried.FIRST_CODE: MOST_FAILURES}
"""Failures in a row after which only a reset helps (NIST SP 800-63B-4 3.2.2)."""


def key_of(tried: Tried, name: str, address: str = "") -> str:
    """Return what failures are counted under. What strangers may type is digested: a key has one size."""
    return f"{tried}:{hashlib.sha256(f'{name} {address}'.encode()).hexdigest()}"


async def reserve(db: Database, tried: Tried, key: str, *, at: datetime | None = None) -> datetime | None:
    """Count one attempt. Returns the moment of it, by the database's clock unless `at` is given; `None`: it may not be looked at."""
    row = await db.fetchrow(RESERVE, key, FREE_FAILURES, MOST.get(tried, NEVER), FIRST_WAIT, LONGEST_WAIT, at)
    moment: datetime = row["now"]
    return moment if row["admitted"] else None
