"""Seal every secret under the ring's current key, so that older keys can leave the ring. A job to be run until nothing is left.

Repeat-safe and made for traffic: a secret is replaced only if it still is what was read, so one that changed meanwhile is left to the next
round; nobody waits for it, and every key of the ring opens all the time.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from jobs.keys import KeyRing
from jobs.second_factor.sealing import PURPOSES, Kind, Place, Sealed, UnreadableError, seal, unseal
from jobs.store.database import Connection
from jobs.store.statements import statement

LIST = statement("list_stale_secrets")
RESEAL = statement("reseal_secrets")
COUNT = statement("count_stale_secrets")

BATCH = 500

log = structlog.get_logger(__name__)


class Shelf(StrEnum):
    """The places that secrets are kept in."""

    TOTP = "totp"
    PENDING = "pending"
    RECOVERY = "recovery"
    OPERATOR = "operator"
    INVITED = "invited"


KINDS = {
    Shelf.TOTP: Kind.TOTP,
    Shelf.PENDING: Kind.TOTP,
    Shelf.RECOVERY: Kind.RECOVERY,
    Shelf.OPERATOR: Kind.OPERATOR,
    Shelf.INVITED: Kind.OPERATOR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rotation has come: secrets sealed anew, those still under another key, and those among them that no key opens.

    Old keys may leave the ring when `left` is 0. `unreadable` ones need a human: a key that was taken out too early, or a reset.
    """

    resealed: int
    left: int
    unreadable: int


async def count_left(db: Connection, keys: KeyRing) -> int:
    """Return how many secrets are sealed under another key than the current one."""
    return int(await db.fetchval(COUNT, keys.keys[0].id))


async def rotate(db: Connection, keys: KeyRing, *, batch: int = BATCH) -> AsyncIterator[Progress]:
    """Seal all secrets under the current key, `batch` at a time, each batch committed; yields after each and once at the end.

    The last one's `left` is 0 unless some are unreadable, or a process with an older ring goes on sealing: then run it again.
    """
    resealed, unreadable = 0, 0
    left = await count_left(db, keys)
    for shelf in Shelf:
        last = None
        while rows := await db.fetch(LIST, keys.keys[0].id, shelf, last, batch):
            last = rows[-1]["item_id"]
            moved, failed = await _reseal(db, keys, shelf, rows)
            resealed, unreadable = resealed + moved, unreadable + failed
            yield Progress(resealed=resealed, left=max(0, left - resealed), unreadable=unreadable)
    yield Progress(resealed=resealed, left=await count_left(db, keys), unreadable=unreadable)


async def _reseal(db: Connection, keys: KeyRing, shelf: Shelf, rows: Sequence[Any]) -> tuple[int, int]:
    items, before, after = [], [], []
    for row in rows:
        place = Place(kind=KINDS[shelf], user_id=row["user_id"], item_id=row["item_id"])
        old = Sealed(key_id=row["key_id"], secret=row["secret"])
        try:
            sealed = seal(keys, place, unseal(keys, place, old))
        except UnreadableError as error:
            log.error("secret_unreadable", item=str(place.item_id), key=error.key_id, why=error.why)  # noqa: TRY400 -- the reason says it all
            continue
        items.append(place.item_id)
        before.append(old.secret)
        after.append(sealed.secret)
    moved = int(await db.fetchval(RESEAL, shelf, items, before, keys.current(PURPOSES[KINDS[shelf]]).id, after))
    return moved, len(rows) - len(items)
