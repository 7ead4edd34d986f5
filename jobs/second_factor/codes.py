"""Time-based codes (RFC 6238): what may be one, which step it belongs to. No clock, no database.

Six ASCII digits, before any library is asked: full-width and other digits read as the same number, and a check that remembers what was
typed would let one code in twice. What is remembered is the step.
"""

import hmac
import re
import secrets
from base64 import b32encode
from datetime import datetime

import pyotp

from jobs.second_factor.rules import DIGITS, PERIOD_SECONDS, SECRET_BYTES, STEPS_BACK

NO_STEP = -1
"""What no code belongs to."""

_CODE = re.compile(rf"[0-9]{{{DIGITS}}}", re.ASCII)
_LONGEST_TYPED = 32


def read_code(typed: object) -> str | None:
    """Return the six digits that were typed, blanks aside (apps show `123 456`), or `None`: it can't be a code."""
    if not isinstance(typed, str) or len(typed) > _LONGEST_TYPED:
        return None
    code = typed.replace(" ", "")
    return code if _CODE.fullmatch(code) else None


def new_secret() -> bytes:
    """Return a fresh secret."""
    return secrets.token_bytes(SECRET_BYTES)


def to_base32(secret: bytes) -> str:
    """Return the secret as authenticator apps take it."""
    return b32encode(secret).decode("ascii").rstrip("=")


def provisioning_uri(secret: bytes, *, issuer: str, label: str) -> str:
    """Return the `otpauth://totp/` address that authenticator apps scan."""
    return pyotp.TOTP(to_base32(secret)).provisioning_uri(name=label, issuer_name=issuer)


def step_at(moment: datetime) -> int:
    """Return the step that an aware moment falls into (RFC 6238 4.2, T0 = 0)."""
    return int(moment.timestamp()) // PERIOD_SECONDS


def code_for(secret: bytes, step: int) -> str:
    """Return the code of a step (RFC 4226 5.3)."""
    return pyotp.HOTP(to_base32(secret), digits=DIGITS).at(step)


def matching_step(secret: bytes, code: str, step: int) -> int:
    """Return the step whose code this is, the current one or those before it that are accepted, else `NO_STEP`.

    Every candidate is computed and compared, in constant time: how long it takes tells nothing.
    """
    found = NO_STEP
    for candidate in range(max(0, step - STEPS_BACK), step + 1):
        if hmac.compare_digest(code_for(secret, candidate), code):
            found = candidate
    return found
