"""Ed25519 (RFC 8032) for what others verify without our keys: checkpoints and certificates. A signing key per key of the ring.

The private key is a subkey of the ring like any other, so that nothing more has to be kept or rotated; the public one may be printed and
handed to an auditor (`portcullis audit key`), and goes on verifying what was signed with it after the ring has moved on.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from jobs.keys import KEY_ID, Key, KeyRing, Purpose

PublicKeys: TypeAlias = Mapping[str, Ed25519PublicKey]
"""By the id of the ring's key that each belongs to."""


def sign(ring: KeyRing, message: bytes) -> tuple[str, bytes]:
    """Sign with the ring's current key; returns its id and the signature."""
    key = ring.current(Purpose.AUDIT_SIGNATURE)
    return key.id, _private(key).sign(message)


def public_keys(ring: KeyRing) -> dict[str, Ed25519PublicKey]:
    """Return every public key of the ring."""
    subkeys = (ring.find(key.id, Purpose.AUDIT_SIGNATURE) for key in ring.keys)
    return {key.id: _private(key).public_key() for key in subkeys if key is not None}


def is_signed(keys: PublicKeys, key_id: str, message: bytes, signature: bytes) -> bool:
    """Return whether the signature is that key's. Raises `KeyError` for a key that is not among `keys`."""
    try:
        keys[key_id].verify(signature, message)
    except InvalidSignature:
        return False
    return True


def write_public(key_id: str, key: Ed25519PublicKey) -> str:
    """Return `id:base64 of 32 bytes`."""
    return f"{key_id}:{base64.b64encode(key.public_bytes_raw()).decode()}"


def read_public(texts: Iterable[str]) -> dict[str, Ed25519PublicKey]:
    """Read what `write_public` wrote; several may stand in one text, separated by commas or blanks.

    Raises:
        ValueError: One is malformed.
    """
    keys = {}
    for text in (part for given in texts for part in re.split(r"[\s,]+", given) if part):
        key_id, _, encoded = text.partition(":")
        try:
            if not KEY_ID.fullmatch(key_id):
                raise ValueError  # noqa: TRY301 -- said below, for every fault
            keys[key_id] = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise ValueError(f"{text!r} is no public key: write id:base64 of 32 bytes, as `portcullis audit key` prints it") from None
    return keys


def _private(key: Key) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.secret)
