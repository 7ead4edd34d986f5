"""Recovery codes: made with a factor, shown once, each good for one sign-in together with the password.

One conditional update consumes a code, whoever asks by whichever path, so that no race lets one in twice (Parse Server,
GHSA-2299-ghjr-6vjp: fixed in one path only). Nobody is slowed down here: 120 bits can't be guessed, and a stranger who locked the codes
of an authenticator app must not lock out its owner too.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from jobs.client import Id
from jobs.keys import KeyRing
from jobs.second_factor import ledger, tickets
from jobs.second_factor.answers import Recovered, RecoveryCodes, Refused
from jobs.second_factor.evidence import refuse_unshown
from jobs.second_factor.ledger import NOWHERE
from jobs.second_factor.member import FirstFactor, FirstMethod, Origin
from jobs.second_factor.recovery_codes import digest, new_codes, new_set_key, read_recovery_code
from jobs.second_factor.refusals import Refusal, refuse, unreadable
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, seal, unseal
from jobs.second_factor.session_ends import EndSessions
from jobs.store.database import Connection
from jobs.store.statements import statement

FIND = statement("find_recovery_set")
USE = statement("use_recovery_code")
DROP_SET = statement("drop_recovery_set")
ADD_SET = statement("add_recovery_set")
STANDING = statement("find_standing")
LOCK = statement("lock_factors")

NO_SET = UUID(int=0)


async def recover(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    code: str,
    *,
    end_other_sessions: EndSessions,
    origin: Origin = NOWHERE,
    at: datetime | None = None,
) -> Recovered | Refused:
    """Accept a recovery code in place of the factor, once; only together with the password.

    Ends other sessions and tells the member, in one transaction, a part of yours if `db` is in one.
    """
    found = await db.fetchrow(FIND, member.user_id, at)
    typed = read_recovery_code(code)
    try:
        set_key = _set_key(keys, found)
    except UnreadableError as error:
        return unreadable(member.user_id, error)
    is_possible = typed is not None and found["factor_id"] is not None and member.method is FirstMethod.PASSWORD
    hashed = digest(set_key, typed or "")
    async with db.transaction():
        used = await db.fetchrow(USE, found["set_id"] if is_possible and found["set_id"] else NO_SET, hashed, at)
        if used is None:
            return refuse(member.user_id, _why(member, typed, found["set_id"]))
        ended = await end_other_sessions(db, found["user_id"])
        who = {name: found[name] for name in ("user_id", "factor_id", "kind")}
        effect = ledger.Effect.RECOVERY_USED
        await ledger.record(db, ledger.Done(effect=effect, **who, done_by=found["user_id"], sessions_ended=ended, origin=origin))
        facts = {"codes_left": used["codes_left"]}
        await ledger.owe(db, ledger.Letter.RECOVERY_USED, found["user_id"], origin=origin, facts=facts)
    return Recovered(
        codes_left=used["codes_left"],
        ticket=tickets.issue(keys, found["user_id"], found["factor_id"], found["now"]),
        must_bind_again=found["is_disabled"],
        sessions_ended=ended,
    )


async def renew_recovery_codes(
    db: Connection,
    keys: KeyRing,
    member: FirstFactor,
    *,
    code: str | None = None,
    ticket: str | None = None,
    origin: Origin = NOWHERE,
    at: datetime | None = None,
) -> RecoveryCodes | Refused:
    """Make new recovery codes and forget the old ones; the member shows the factor first.

    Raises:
        InTransaction: A code was given, and `db` is in a transaction.
    """
    found = await db.fetchrow(STANDING, member.user_id, at)
    bound = found["factor_id"]
    if bound is None:
        return refuse(member.user_id, Refusal.UNKNOWN)
    who = {"user_id": found["user_id"], "now": found["now"]}
    if refused := await refuse_unshown(db, keys, member, bound, **who, code=code, ticket=ticket, at=at):
        return refused
    async with db.transaction():
        await db.execute(LOCK, found["user_id"])
        again = await db.fetchrow(STANDING, member.user_id, at)
        if again["factor_id"] != bound:
            return refuse(member.user_id, Refusal.UNKNOWN)
        made = await make(db, keys, found["user_id"], at=at)
        known = {"user_id": found["user_id"], "done_by": found["user_id"], "factor_id": bound, "kind": Kind.TOTP, "origin": origin}
        await ledger.record(db, ledger.Done(effect=ledger.Effect.RECOVERY_RENEWED, **known))
    return made


async def make(db: Connection, keys: KeyRing, user_id: Id, *, at: datetime | None = None) -> RecoveryCodes:
    """Put a new set in place of the old one, in the caller's transaction and under its lock. `user_id` is as PostgreSQL gives it."""
    made, set_id, set_key = new_codes(), uuid4(), new_set_key()
    sealed = seal(keys, Place(kind=Kind.RECOVERY, user_id=user_id, item_id=set_id), set_key)
    hashes = [digest(set_key, code.replace("-", "")) for code in made]
    await db.execute(DROP_SET, user_id)
    await db.execute(ADD_SET, user_id, set_id, sealed.key_id, sealed.secret, hashes, at)
    return RecoveryCodes(codes=made)


def _set_key(keys: KeyRing, row: Any) -> bytes:
    """Open the key of the hashes; for whoever has none, one that was sealed on the spot, which takes as long."""
    if row["set_id"] is not None:
        place = Place(kind=Kind.RECOVERY, user_id=row["user_id"], item_id=row["set_id"])
        return unseal(keys, place, Sealed(key_id=row["key_id"], secret=row["secret"]))
    decoy = Place(kind=Kind.RECOVERY, user_id=row["user_id"], item_id=NO_SET)
    return unseal(keys, decoy, seal(keys, decoy, new_set_key()))


def _why(member: FirstFactor, typed: str | None, set_id: UUID | None) -> Refusal:
    if member.method is not FirstMethod.PASSWORD:
        return Refusal.FIRST_FACTOR
    if typed is None:
        return Refusal.MALFORMED
    return Refusal.UNKNOWN if set_id is None else Refusal.WRONG
