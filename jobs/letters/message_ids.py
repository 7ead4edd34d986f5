"""A Message-ID that a retry repeats and a stranger cannot foretell.

It is an HMAC of run, slot and member under the run's key, so that the same letter always has the same id, however often and by
whichever process it is sent, and nobody who knows a run's number can forge a reply to a letter they did not get. The key's id stands
in the clear: after a rotation an id can still be checked.
"""

import re
from hashlib import sha256

_TRUNCATED = 32  # hexadecimal digits: 128 bits, RFC 2104 5 asks for at least half the hash and 80 bits
_BLOCK = 64  # octets that SHA-256 takes at a time
_KEY_ID = re.compile(r"[A-Za-z0-9_-]+")


class MessageIds:
    """Makes the ids of one key at one domain."""

    __slots__ = ("_frame", "_inner", "_outer")

    def __init__(self, *, key: bytes, key_id: str, domain: str) -> None:
        if not key:
            raise ValueError("the Message-ID key is empty")
        if not _KEY_ID.fullmatch(key_id):
            raise ValueError(f"the key id {key_id!r} cannot stand in a Message-ID: use letters, digits, '-' and '_'")
        padded = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = sha256(bytes(octet ^ 0x5C for octet in padded))
        self._frame = b"<" + key_id.encode("ascii") + b".%b@" + domain.encode("ascii") + b">"

    def reference(self, run_id: int, member_id: str, slot: str) -> bytes:
        """Return what names this letter and no other: hexadecimal digits."""
        # HMAC spelled out (RFC 2104 4 foresees keeping the two states of the key): the library's takes twice as long a letter.
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{run_id}\0{slot}\0{member_id}".encode())
        outer.update(inner.digest())
        return outer.hexdigest()[:_TRUNCATED].encode("ascii")

    def message_id(self, reference: bytes) -> bytes:
        """Return the Message-ID, in angle brackets, of the letter with this reference."""
        return self._frame % reference
