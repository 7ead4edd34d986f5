"""The key ring: one list of master keys, a subkey per purpose.

`PORTCULLIS_KEYS` is `id:base64 of 32 bytes`, comma-separated. The first key signs and encrypts; all of them verify and decrypt, so
that a key can be rotated while old and new workers run side by side. Subkeys come from HKDF-SHA-256 (RFC 5869): a leak of one
purpose's key tells nothing about another's.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")


class Purpose(StrEnum):
    """What a subkey is for; the word goes into HKDF's `info`, so it must never change its meaning."""

    BROKER = "broker"
    MESSAGE_ID = "message-id"
    SECRETS = "secrets"
    RECOVERY_CODES = "recovery-codes"
    RECOVERY_TICKET = "recovery-ticket"
    AUDIT = "audit"
    AUDIT_SIGNATURE = "audit-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key by its public id. The bytes stay out of `repr`."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys in order; the first is the current one. Never empty."""

    keys: tuple[Key, ...]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read a ring.

        Raises:
            ValueError: With every fault of the text in one message; no key material is repeated in it.
        """
        faults: list[str] = []
        keys: list[Key] = []
        for place, part in enumerate((piece.strip() for piece in text.split(",")), start=1):
            key_id, colon, encoded = part.partition(":")
            try:
                secret = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                secret = b""
            if not colon or not KEY_ID.fullmatch(key_id):  # without a colon it may be a secret, which is not repeated
                faults.append(f"key {place} needs an id of 1 to 16 letters, digits, '-' or '_' before a colon")
            elif len(secret) != KEY_BYTES:
                faults.append(f"key {place} ({key_id}) must be the base64 of exactly {KEY_BYTES} bytes")
            elif any(key.id == key_id for key in keys):
                faults.append(f"key id {key_id} appears twice")
            else:
                keys.append(Key(id=key_id, secret=secret))
        if faults:
            raise ValueError("; ".join(faults))
        return cls(tuple(keys))

    def current(self, purpose: Purpose) -> Key:
        """Return the subkey that signs and encrypts for `purpose`."""
        return _derive(self.keys[0], purpose)

    def find(self, key_id: str, purpose: Purpose) -> Key | None:
        """Return the subkey of that id, or `None` when the ring does not hold it."""
        return next((_derive(key, purpose) for key in self.keys if key.id == key_id), None)


@lru_cache(maxsize=64)
def _derive(key: Key, purpose: Purpose) -> Key:
    hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"portcullis/{purpose}/v1".encode())
    return Key(id=key.id, secret=hkdf.derive(key.secret))
