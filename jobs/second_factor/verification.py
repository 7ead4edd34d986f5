"""Check a code of somebody's authenticator app.

    count the attempt ─▶ open the secret ─▶ find the step ─▶ spend the step

The attempt is committed before the code is looked at, and one conditional update decides who spends a step; so no number of guesses at the
same moment, processes or crashes lets one more be looked at, and each code works once. Every call takes the same way, with a decoy where
there is nothing to look at, so that the time it takes tells as little as the answer.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.keys import KeyRing
from jobs.second_factor import codes, ledger
from jobs.second_factor.answers import Accepted, Refused
from jobs.second_factor.errors import InTransaction
from jobs.second_factor.member import FirstFactor
from jobs.second_factor.refusals import Refusal, refuse, unreadable
from jobs.second_factor.rules import FIRST_WAIT, FREE_FAILURES, LONGEST_WAIT, MOST_FAILURES
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, seal, unseal
from jobs.store.database import Connection
from jobs.store.statements import statement

RESERVE = statement("reserve_attempt")
SPEND = statement("spend_step")
RETURN = statement("return_attempt")
DISABLE = statement("disable_factor")

NOBODY = UUID(int=0)
_DECOY_CODE = "000000"


async def verify(db: Connection, keys: KeyRing, member: FirstFactor, code: str, *, at: datetime | None = None) -> Accepted | Refused:
    """Check the code that a member typed behind their first factor; once right, it is spent.

    `code` is what was typed, as it was typed. `at` is the database's clock unless given: all hosts go by that one.

    Raises:
        InTransaction: `db` is in a transaction.
    """
    if db.is_in_transaction():
        raise InTransaction
    typed = codes.read_code(code)
    attempt = await db.fetchrow(RESERVE, member.user_id, typed is not None, FREE_FAILURES, MOST_FAILURES, FIRST_WAIT, LONGEST_WAIT, at)
    reason = _known_before(attempt, typed)
    try:
        secret = _open(keys, attempt, is_decoy=reason is not None)
    except UnreadableError as error:
        await db.execute(RETURN, member.user_id)
        return unreadable(member.user_id, error)
    step = codes.matching_step(secret, typed or _DECOY_CODE, codes.step_at(attempt["now"]))
    if reason is not None:
        step = codes.NO_STEP
    spent = await db.fetchrow(SPEND, attempt["factor_id"] or NOBODY, step, at)
    if spent is not None:
        return Accepted(**spent)
    if attempt["factor_id"] and attempt["failures"] >= MOST_FAILURES and not attempt["is_disabled"]:
        await _disable(db, attempt["factor_id"], at)
    return refuse(member.user_id, reason or (Refusal.WRONG if step == codes.NO_STEP else Refusal.REPLAYED))


def _known_before(attempt: Any, typed: str | None) -> Refusal | None:
    """Return why the code needs no looking at; `None`: it does."""
    if typed is None:
        return Refusal.MALFORMED
    if attempt["factor_id"] is None:
        return Refusal.UNKNOWN
    if attempt["is_disabled"] or (not attempt["admitted"] and attempt["failures"] >= MOST_FAILURES):
        return Refusal.DISABLED
    return None if attempt["admitted"] else Refusal.LOCKED


def _open(keys: KeyRing, attempt: Any, *, is_decoy: bool) -> bytes:
    if not is_decoy:
        place = Place(kind=Kind.TOTP, user_id=attempt["user_id"], item_id=attempt["factor_id"])
        return unseal(keys, place, Sealed(key_id=attempt["key_id"], secret=attempt["secret"]))
    decoy = Place(kind=Kind.TOTP, user_id=attempt["user_id"], item_id=NOBODY)
    return unseal(keys, decoy, seal(keys, decoy, codes.new_secret()))


async def _disable(db: Connection, factor_id: UUID, at: datetime | None) -> None:
    async with db.transaction():
        disabled = await db.fetchrow(DISABLE, factor_id, MOST_FAILURES, at)
        if disabled is not None:
            reason = f"{MOST_FAILURES} wrong codes in a row"
            await ledger.record(db, ledger.Done(effect=ledger.Effect.DISABLED, done_by=None, reason=reason, **disabled))
            await ledger.owe(db, ledger.Letter.FACTOR_REMOVED, disabled["user_id"], facts={"disabled": True})
