"""Bind a factor: begin it, confirm it with its first code. Replacing one is the same, and the old one works until the new one is confirmed.

    begin ─▶ secret, QR ─▶ (the member scans) ─▶ confirm ─▶ recovery codes

What is begun stands apart, for ten minutes, and remembers which factor was shown for it; if that is no longer the bound one when the code
comes, somebody else was quicker and it is worth nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from jobs.keys import KeyRing
from jobs.second_factor import codes, ledger, recovery
from jobs.second_factor.answers import Begun, Confirmed, NothingPending, ProveAddress, Refused
from jobs.second_factor.evidence import refuse_unshown
from jobs.second_factor.ledger import NOWHERE
from jobs.second_factor.member import Account, FirstFactor, Origin
from jobs.second_factor.refusals import Refusal, note, refuse, unreadable
from jobs.second_factor.rules import DORMANT_AFTER, PENDING_FOR, PENDING_TRIES, PROOF_FOR
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, seal, unseal
from jobs.second_factor.session_ends import EndSessions
from jobs.store.database import Connection
from jobs.store.statements import statement

STANDING = statement("find_standing")
BEGIN = statement("begin_factor")
TRY = statement("try_factor")
LOCK = statement("lock_factors")
TAKE = statement("take_begun_factor")
DROP = statement("drop_factor")
ADD = statement("add_factor")


async def begin(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    account: Account,
    *,
    code: str | None = None,
    ticket: str | None = None,
    dormant_after: timedelta | None = DORMANT_AFTER,
    at: datetime | None = None,
) -> Begun | ProveAddress | Refused:
    """Begin a factor of time-based codes; one that was begun before is forgotten.

    Whoever has a factor shows it, by a `code` or a recovery code's `ticket`; one of the app's own is the app's to ask for first. Whoever
    has none, and has not signed in for `dormant_after` (`None`: never mind) or was reset by an admin, proves their address first: a
    stolen password must not enrol the thief.

    Raises:
        InTransaction: A code was given, and `db` is in a transaction.
    """
    found = await db.fetchrow(STANDING, member.user_id, at)
    bound: UUID | None = found["factor_id"]
    if bound is not None:
        who = {"user_id": found["user_id"], "now": found["now"]}
        if refused := await refuse_unshown(db, keys, member, bound, **who, code=code, ticket=ticket, at=at):
            return refused
    elif found["kinds"]:
        return refuse(member.user_id, Refusal.UNSHOWN)  # a factor of another kind, which can't be shown here
    elif _must_prove_address(found, account, dormant_after):
        return ProveAddress()
    factor_id, secret = uuid4(), codes.new_secret()
    sealed = seal(keys, Place(kind=Kind.TOTP, user_id=found["user_id"], item_id=factor_id), secret)
    expires_at = await db.fetchval(BEGIN, member.user_id, factor_id, bound, sealed.key_id, sealed.secret, PENDING_FOR, at)
    uri = codes.provisioning_uri(secret, issuer=account.issuer, label=account.label)
    return Begun(secret=codes.to_base32(secret), uri=uri, expires_at=expires_at)


def _must_prove_address(found: Any, account: Account, dormant_after: timedelta | None) -> bool:
    now, proved = found["now"], account.address_proved_at
    is_dormant = dormant_after is not None and (account.last_active_at is None or now - account.last_active_at > dormant_after)
    if proved is not None and now - proved <= PROOF_FOR and (found["reset_at"] is None or proved > found["reset_at"]):
        return False
    return is_dormant or found["reset_at"] is not None


async def confirm(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    code: str,
    *,
    end_other_sessions: EndSessions,
    origin: Origin = NOWHERE,
    at: datetime | None = None,
) -> Confirmed | NothingPending | Refused:
    """Bind the factor that was begun, by its first code, which is spent; end other sessions, make recovery codes, owe the letter.

    One transaction, a part of yours if `db` is in one.
    """
    if db.is_in_transaction():
        await db.execute(LOCK, member.user_id)  # before any row of theirs: a removal at the same moment takes them in this order
    begun = await db.fetchrow(TRY, member.user_id, PENDING_TRIES, at)
    if begun is None:
        return _nothing_pending(member)
    typed = codes.read_code(code)
    if typed is None:
        return refuse(member.user_id, Refusal.MALFORMED)
    place = Place(kind=Kind.TOTP, user_id=begun["user_id"], item_id=begun["factor_id"])
    try:
        secret = unseal(keys, place, Sealed(key_id=begun["key_id"], secret=begun["secret"]))
    except UnreadableError as error:
        return unreadable(member.user_id, error)
    step = codes.matching_step(secret, typed, codes.step_at(begun["now"]))
    if step == codes.NO_STEP:
        return refuse(member.user_id, Refusal.WRONG)
    async with db.transaction():
        bound = await _bind(db, begun, step, at)
        if bound is None:
            return _nothing_pending(member)
        user_id, effect = begun["user_id"], ledger.Effect.REPLACED if bound.has_replaced else ledger.Effect.ADDED
        made = await recovery.make(db, keys, user_id, at=at)
        ended = await end_other_sessions(db, user_id)
        who = {"user_id": user_id, "done_by": user_id, "factor_id": begun["factor_id"], "kind": Kind.TOTP}
        await ledger.record(db, ledger.Done(effect=effect, **who, sessions_ended=ended, origin=origin))
        await ledger.owe(db, ledger.Letter.FACTOR_ADDED, user_id, origin=origin, facts={"replaced": bound.has_replaced})
    return Confirmed(factor_id=bound.factor_id, recovery=made, has_replaced=bound.has_replaced, sessions_ended=ended)


async def _bind(db: Connection, begun: Any, step: int, at: datetime | None) -> "_Bound | None":
    """Put the factor that was begun in the place of the one there was; `None`: it is too late for that."""
    user_id, factor_id = begun["user_id"], begun["factor_id"]
    await db.execute(LOCK, user_id)
    taken = await db.fetchrow(TAKE, user_id, factor_id)
    if taken is None:
        return None
    replaced = await db.fetchrow(DROP, user_id)
    await db.execute(ADD, factor_id, user_id, taken["key_id"], taken["secret"], step, at)
    return _Bound(factor_id=factor_id, has_replaced=replaced is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    factor_id: UUID
    has_replaced: bool


def _nothing_pending(member: FirstFactor) -> NothingPending:
    note(member.user_id, Refusal.PENDING)
    return NothingPending()
