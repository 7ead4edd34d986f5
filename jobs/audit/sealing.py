"""The keyed chain: each entry's seal covers the entry and the seal before it, run by run.

    seal = HMAC-SHA-256(key, previous seal ‖ run ‖ number of the entry ‖ SHA-256 of the entry ‖ its worker's code)

Without the key nobody can write a seal that fits, so an entry that is edited, exchanged or taken out shows at the first seal that no
longer fits. Repeat-safe: one sealer at a time, and what is sealed is no longer on the list of what waits.
"""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from jobs.audit.entries import Entry
from jobs.keys import Key
from jobs.store import audit
from jobs.store.audit import Seal
from jobs.store.database import Connection

GENESIS = bytes(32)
"""What the first seal of a chain covers instead of one before."""

AT_A_TIME = 500
"""Entries sealed in one transaction: some 10 MB at most."""

ENDINGS = frozenset({"finished", "stopped", "lifted"})
"""Effects after which a checkpoint is due at once."""


def digest(key: Key, previous: bytes, entry: Entry) -> bytes:
    """Return an entry's seal."""
    place = f"portcullis audit seal\n{entry.run_id}\n{entry.entry_id}\n".encode()
    return hmac.digest(key.secret, previous + place + sha256(entry.message).digest() + (entry.mac or GENESIS), "sha256")


async def seal(db: Connection, key: Key) -> tuple[int, bool]:
    """Seal what waits, in a transaction of its own; returns how many entries, and whether a run ended with one of them.

    Nothing is sealed while somebody else seals.
    """
    async with db.transaction(isolation="read_committed"):
        if not await audit.hold_chains(db):
            return 0, False
        entries = await audit.list_unsealed(db, limit=AT_A_TIME)
        if entries:
            tails = await audit.find_tails(db, sorted({entry.run_id for entry in entries}))
            await audit.write_seals(db, list(_chain(key, entries, tails)))
        return len(entries), any(entry.effect in ENDINGS for entry in entries)


def _chain(key: Key, entries: Iterable[Entry], tails: dict[int, tuple[int, bytes]]) -> Iterable[Seal]:
    tails = dict(tails)
    for entry in entries:
        place, previous = tails.get(entry.run_id, (0, GENESIS))
        made = digest(key, previous, entry)
        tails[entry.run_id] = place + 1, made
        yield Seal(run_id=entry.run_id, place=place + 1, entry_id=entry.entry_id, key_id=key.id, previous=previous, digest=made)
