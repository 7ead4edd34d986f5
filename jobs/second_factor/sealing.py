"""Seal what must be read back: AES-256-GCM under the ring's current key, bound to the row it stands in.

The associated data names the row (what it is, whose it is, which one) and the key, so a ciphertext that is copied into another row, or
said to be under another key, does not open. All keys of the ring open; the first one seals.
"""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jobs.keys import KeyRing, Purpose

NONCE_BYTES = 12  # NIST SP 800-38D 5.2.1.1


class Kind(StrEnum):
    """What is sealed; the word is part of the associated data, so it must never change its meaning."""

    TOTP = "totp"
    RECOVERY = "recovery"
    OPERATOR = "operator"


PURPOSES = {Kind.TOTP: Purpose.SECRETS, Kind.RECOVERY: Purpose.RECOVERY_CODES, Kind.OPERATOR: Purpose.SECRETS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The row that a secret stands in. `user_id` is the id as PostgreSQL gives it; `item_id` the factor's or the recovery set's."""

    kind: Kind
    user_id: object
    item_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A ciphertext with its nonce in front, and the id of the key it was sealed with."""

    key_id: str
    secret: bytes = field(repr=False)


class UnreadableError(Exception):
    """A secret can't be opened: ops must look. Says which row and which key, and nothing of the secret."""

    def __init__(self, place: Place, key_id: str, why: str) -> None:
        self.place, self.key_id, self.why = place, key_id, why
        super().__init__(f"the {place.kind} secret {place.item_id} under key {key_id} can't be opened: {why}")


def seal(keys: KeyRing, place: Place, secret: bytes) -> Sealed:
    """Seal under the current key."""
    key = keys.current(PURPOSES[place.kind])
    nonce = secrets.token_bytes(NONCE_BYTES)
    return Sealed(key_id=key.id, secret=nonce + AESGCM(key.secret).encrypt(nonce, secret, _bound_to(place, key.id)))


def unseal(keys: KeyRing, place: Place, sealed: Sealed) -> bytes:
    """Return the secret.

    Raises:
        UnreadableError: The key is not in the ring, or this is not what was sealed for this place.
    """
    key = keys.find(sealed.key_id, PURPOSES[place.kind])
    if key is None:
        raise UnreadableError(place, sealed.key_id, "the key is not in the ring; put it back into PORTCULLIS_KEYS, behind the first one")
    nonce, ciphertext = sealed.secret[:NONCE_BYTES], sealed.secret[NONCE_BYTES:]
    try:
        return AESGCM(key.secret).decrypt(nonce, ciphertext, _bound_to(place, sealed.key_id))
    except (InvalidTag, ValueError):
        raise UnreadableError(place, sealed.key_id, "it was altered, or belongs to another row") from None


def _bound_to(place: Place, key_id: str) -> bytes:
    return "\0".join(("portcullis", place.kind, str(place.user_id), str(place.item_id), key_id)).encode()
