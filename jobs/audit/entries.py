"""What an entry of the audit is, to the byte, and the code by which a worker vouches for the one that it writes.

An entry's bytes are the same here and in `portcullis.audit_message`; a test compares them. A worker gives the statement that writes the
entry a key that is good for this batch alone, already mixed with HMAC's two pads (RFC 2104), so that PostgreSQL, which has SHA-256 and no
HMAC, computes the code in the transaction of the effect, and no other batch can be vouched for with what was seen.
"""

import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from jobs.keys import Key

BLOCK = 64
"""Bytes of SHA-256's block."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

RECORD = struct.Struct(">qci")
"""One member: pseudonym, letter, number; as `portcullis.audit_entry.records` has it."""

VERDICTS = {b"U": "unprotected", b"P": "protected", b"S": "sso", b"E": "exempt", b"I": "inactive"}
OUTCOMES = {b"A": "accepted", b"R": "refused", b"D": "uncertain", b"X": "suppressed", b"C": "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One effect. `run_id` is the chain; 0: the effect belongs to no run. `facts` is JSON, as it was written."""

    entry_id: int
    run_id: int
    effect: str
    batch_id: int | None
    happened_at: datetime
    facts: str
    records: bytes | None
    key_id: str | None
    mac: bytes | None

    @property
    def message(self) -> bytes:
        """The bytes that are vouched for and sealed."""
        batch = "-" if self.batch_id is None else self.batch_id
        microseconds = (self.happened_at - EPOCH) // MICROSECOND
        head = f"{self.effect}\n{self.run_id}\n{batch}\n{microseconds}\n{self.facts}\n"
        return head.encode() + (self.records or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an entry says of one member. `word`: the verdict, or what became of the letter. `is_revised`: not for the first time."""

    subject: int
    word: str
    number: int
    is_revised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """A key for one batch's entry, ready for the statement that writes it; all `None`: nobody vouches."""

    key_id: str | None = None
    inner: bytes | None = field(default=None, repr=False)
    outer: bytes | None = field(default=None, repr=False)


NOBODY = Voucher()


def vouch_for(key: Key, run_id: int, batch_id: int) -> Voucher:
    """Return what vouches for this batch's entry."""
    secret = _batch_key(key, run_id, batch_id).ljust(BLOCK, b"\0")
    return Voucher(key_id=key.id, inner=bytes(b ^ 0x36 for b in secret), outer=bytes(b ^ 0x5C for b in secret))


def is_vouched_for(key: Key, entry: Entry) -> bool:
    """Return whether the entry's code was made with this key, and for what the entry says."""
    if entry.mac is None or entry.batch_id is None:
        return False
    return hmac.compare_digest(hmac.digest(_batch_key(key, entry.run_id, entry.batch_id), entry.message, "sha256"), entry.mac)


def records_of(entry: Entry) -> Iterator[Record]:
    """Read an entry's records.

    Raises:
        KeyError: A letter is none of ours.
    """
    words = OUTCOMES if entry.effect == "notified" else VERDICTS
    for subject, letter, number in RECORD.iter_unpack(entry.records or b""):
        yield Record(subject=subject, word=words[letter.upper()], number=number, is_revised=letter.islower())


def _batch_key(key: Key, run_id: int, batch_id: int) -> bytes:
    return hmac.digest(key.secret, f"portcullis audit batch\n{run_id}\n{batch_id}".encode(), "sha256")
