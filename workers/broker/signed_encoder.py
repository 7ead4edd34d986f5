"""The encoder: JSON under a signature, verified before it is parsed.

    p1.<key id>.<HMAC-SHA-256, base64url>.<JSON>

The signature covers the exact bytes of version, key id and JSON. It lives here and not in a middleware hook, because a hook would
sign whatever passes through, a forged message on its way from one queue to another included.
"""

import hmac
import json
import re
from base64 import urlsafe_b64encode
from typing import Final

from dramatiq.encoder import Encoder, MessageData

from jobs.keys import KeyRing, Purpose
from workers.broker.errors import UnpublishableError
from workers.broker.rejected import Reason, RejectedError, UnknownVersionError

MAX_BYTES: Final = 16 * 1024
"""Messages carry ids; what is longer was not written by us."""

VERSION: Final = b"p1"
ANY_VERSION: Final = re.compile(rb"p[0-9]{1,6}")


class SignedEncoder(Encoder):
    """Signs with the ring's first key, verifies with any of them."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def encode(self, data: MessageData) -> bytes:
        """Serialize and sign.

        Raises:
            UnpublishableError: A value has no JSON form, or the message is longer than `MAX_BYTES`.
        """
        key = self._ring.current(Purpose.BROKER)
        body, key_id = _to_json(data), key.id.encode()
        encoded = b".".join((VERSION, key_id, _signature(key.secret, key_id, body), body))
        if len(encoded) > MAX_BYTES:
            raise UnpublishableError(f"a message of {len(encoded)} bytes is longer than {MAX_BYTES}: send ids, not contents")
        return encoded

    def decode(self, data: bytes) -> MessageData:
        """Verify, then parse.

        Raises:
            RejectedError: With the first reason that applies; nothing was parsed before the signature was right.
        """
        if len(data) > MAX_BYTES:
            raise RejectedError(Reason.OVERSIZED, data)
        key_id, signature, body = _parts(data)
        key = self._ring.find(key_id.decode("ascii", "replace"), Purpose.BROKER)
        if key is None:
            raise RejectedError(Reason.UNKNOWN_KEY, data)
        if not hmac.compare_digest(_signature(key.secret, key_id, body), signature):
            raise RejectedError(Reason.BAD_SIGNATURE, data)
        return _from_json(body, data)


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    version, *rest = data.split(b".", 3)
    if not ANY_VERSION.fullmatch(version):
        raise RejectedError(Reason.MALFORMED, data)
    if version != VERSION:
        raise UnknownVersionError(data)
    match rest:
        case [key_id, signature, body]:
            return key_id, signature, body
    raise RejectedError(Reason.MALFORMED, data)


def _signature(secret: bytes, key_id: bytes, body: bytes) -> bytes:
    signed = b".".join((VERSION, key_id, body))
    return urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")


def _to_json(data: MessageData) -> bytes:
    try:
        return json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise UnpublishableError(f"a message must be plain JSON: {error}") from error


def _from_json(body: bytes, data: bytes) -> MessageData:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise RejectedError(Reason.UNREADABLE, data) from None
    if not isinstance(fields, dict):
        raise RejectedError(Reason.UNREADABLE, data)
    return fields
