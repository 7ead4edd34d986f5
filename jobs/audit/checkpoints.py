"""Checkpoints: signed statements of how far every chain has come, each naming the one before.

A chain alone can't tell that its end was cut off, or that a whole run is gone. A checkpoint can: what it names must be there. That
checkpoints themselves were cut off shows to whoever kept the number and mark of a later one: they stand in the conductor's log and in
every certificate (`portcullis audit verify --witness`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from jobs.audit import signing
from jobs.keys import KeyRing
from jobs.store import audit
from jobs.store.audit import Checkpoint, Head
from jobs.store.database import Connection

FORMAT = "portcullis audit checkpoint 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a checkpoint says. `upto`: the last seal that it covers; `heads`: the chains that grew since the one before."""

    number: int
    previous: str | None
    upto: int
    heads: list[Head]


async def sign(db: Connection, ring: KeyRing) -> Checkpoint | None:
    """Write a checkpoint, in a transaction of its own. `None`: nothing was sealed since the last one, or somebody else is at it."""
    async with db.transaction(isolation="read_committed"):
        if not await audit.hold_chains(db):
            return None
        last = await audit.last_checkpoint(db)
        number, upto, previous = (1, 0, None) if last is None else (last.number + 1, read(last).upto, mark(last))
        heads, upto = await audit.new_heads(db, upto)
        if not heads:
            return None
        body = _write(number, previous, upto, heads)
        key_id, signature = signing.sign(ring, body.encode())
        await audit.write_checkpoint(db, number, key_id, body, signature)
        return await audit.last_checkpoint(db)


def read(checkpoint: Checkpoint) -> Statement:
    """Read what was signed.

    Raises:
        ValueError: It is no checkpoint's text.
    """
    try:
        told = json.loads(checkpoint.body)
        if told["format"] != FORMAT:  # a certificate is signed with the same key
            raise ValueError(told["format"])
        heads = [Head(run_id=int(run), place=int(place), digest=bytes.fromhex(digest)) for run, place, digest in told["heads"]]
        return Statement(number=int(told["number"]), previous=told["previous"], upto=int(told["upto"]), heads=heads)
    except (TypeError, KeyError) as error:
        raise ValueError("it is no checkpoint's text") from error


def mark(checkpoint: Checkpoint) -> str:
    """Return what the next checkpoint, a log line and a certificate call this one: SHA-256 of text and signature, in hexadecimal."""
    return sha256(checkpoint.body.encode() + checkpoint.signature).hexdigest()


def _write(number: int, previous: str | None, upto: int, heads: Sequence[Head]) -> str:
    told = {
        "format": FORMAT,
        "number": number,
        "previous": previous,
        "made_at": datetime.now(UTC).isoformat(),
        "upto": upto,
        "heads": [[head.run_id, head.place, head.digest.hex()] for head in heads],
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":"))
