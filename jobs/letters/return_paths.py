"""The envelope sender of a letter (VERP): where a report comes back to that it could not be delivered, and which letter that is about.

    bounces+n1f-i420b3c4d5e6f7081@mail.example.com

    n                slot: notice
    1f               run 31
    i42              member 42; a uuid or a text is written in base 32, a long text as its digest
    0b3c4d5e6f7081   the first digits of the letter's reference, an HMAC: who never saw the letter can't report on it

Everything is lower case and read in either: mail servers on the way may change it. The same letter has the same sender, however often
it is sent. The proof has 56 bits, to be guessed a message at a time; BATV and SRS get by with 24.
"""

import re
from base64 import b32hexdecode, b32hexencode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Self
from uuid import UUID

from jobs.domain.addresses import to_mailbox
from jobs.domain.letters import LetterKind

LONGEST_OWN_PART = 12
"""Octets before the `+`, so that every letter's sender fits into 64 (RFC 5321 4.5.3.1.1): of the first 4,294,967,295 runs, that is."""

LONGEST_LOCAL_PART = 64
LONGEST_WRITTEN_OUT = 16
"""Octets of a text id that is written out; of a longer one it is a digest, by which the ledger has an index."""

PROOF_DIGITS = 14

SLOTS: Mapping[str, str] = {
    "notice": "n",
    "report": "r",
    "lifted": "l",
    "week": "w",
    "day": "d",
    LetterKind.FACTOR_ADDED: "a",
    LetterKind.FACTOR_REMOVED: "x",
    LetterKind.RECOVERY_USED: "u",
    LetterKind.FACTOR_RESET: "s",
}
"""The letter of each slot. It stands in messages that are on their way for days: none ever changes its meaning."""

_SLOT_OF = {letter: slot for slot, letter in SLOTS.items()}
_EXTENSION = re.compile(rf"([{''.join(_SLOT_OF)}])([0-9a-f]{{1,16}})-([iutd])([0-9a-v]+)([0-9a-f]{{{PROOF_DIGITS}}})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_NUMBER = 20  # digits

_BASE_32 = "0123456789abcdefghijklmnopqrstuv"  # RFC 4648 7
_PAIRS = [first + second for first in _BASE_32 for second in _BASE_32]
_SHIFTS = range(120, -1, -10)
"""A uuid is written for every member of some apps: the library's way takes three times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedTo:
    """What an envelope sender says, not yet proved. `member` is the id's text; where only its `digest` is known, it is `None`."""

    number: int
    """The run's, or that of a letter about a second factor."""
    slot: str
    member: str | None
    digest: str | None
    proof: str


class ReturnPaths:
    """Makes the envelope senders that reports come back to, at one mailbox such as `bounces@mail.example.com`."""

    __slots__ = ("_at_domain", "_begin", "_longest")

    def __init__(self, mailbox: str) -> None:
        own_part, _, domain = mailbox.lower().rpartition("@")
        self._begin = own_part + "+"
        self._at_domain = "@" + domain
        self._longest = LONGEST_LOCAL_PART + len(self._at_domain)

    @classmethod
    def read(cls, mailbox: str) -> Self:
        """Return the senders at a mailbox.

        Raises:
            ValueError: It is no mailbox, or leaves no room for what is added to it.
        """
        try:
            own_part, _, domain = to_mailbox(mailbox).rpartition("@")
        except ValueError:
            raise ValueError("must be an address such as bounces@mail.example.com") from None
        if len(own_part) > LONGEST_OWN_PART or "+" in own_part:
            raise ValueError(
                f"the part before the @ must have at most {LONGEST_OWN_PART} characters and no '+', as in bounces@mail.example.com"
            )
        return cls(f"{own_part}@{domain}")

    def sender(self, reference: bytes, number: int, member_id: str, slot: str) -> str | None:
        """Return a letter's envelope sender; `None`: it would be too long, or the slot has none."""
        letter = SLOTS.get(slot)
        if letter is None:
            return None
        sender = f"{self._begin}{letter}{number:x}-{_written(member_id)}{reference[:PROOF_DIGITS].decode()}{self._at_domain}"
        return sender if len(sender) <= self._longest else None

    def parse(self, address: str) -> ReturnedTo | None:
        """Read an address that a report came to; `None`: it is not one of ours."""
        local, _, domain = address.lower().rpartition("@")
        extension = local.removeprefix(self._begin)
        found = _EXTENSION.fullmatch(extension) if extension != local and "@" + domain == self._at_domain else None
        if found is None:
            return None
        slot, number, form, written, proof = found.groups()
        try:
            member = _read(form, written)
        except ValueError:
            return None
        digest = written if form == "d" else None
        return ReturnedTo(number=int(number, 16), slot=_SLOT_OF[slot], member=member, digest=digest, proof=proof)


def digest_of(member_id: str) -> str:
    """Return the digest of a long id, as the ledger's index has it. It finds, it proves nothing."""
    return md5(member_id.encode(), usedforsecurity=False).hexdigest()[:16]


def _written(member_id: str) -> str:
    """Write an id so that case does not matter, and so that its very text can be read again. The first two lines are nearly everybody's."""
    if member_id.isdecimal() and member_id.isascii() and len(member_id) <= _LONGEST_NUMBER:
        return "i" + member_id
    if _UUID.fullmatch(member_id):
        number = int(member_id.replace("-", ""), 16) << 2
        return "u" + "".join([_PAIRS[number >> shift & 0x3FF] for shift in _SHIFTS])
    octets = member_id.encode()
    return "t" + b32hexencode(octets).decode().rstrip("=").lower() if len(octets) <= LONGEST_WRITTEN_OUT else "d" + digest_of(member_id)


def _read(form: str, written: str) -> str | None:
    match form:
        case "i":
            return written
        case "u":
            return str(UUID(bytes=_from_base_32(written)))
        case "t":
            return _from_base_32(written).decode()
        case _:
            return None


def _from_base_32(written: str) -> bytes:
    return b32hexdecode(written.upper() + "=" * (-len(written) % 8))
