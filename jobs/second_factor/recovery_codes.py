"""Recovery codes: how they look, how they are read back, what is kept of them. No database.

A code is 120 random bits in Crockford's base 32 (no I, L, O, U), in groups of four. What is kept is HMAC-SHA-256 under the key of its set.
"""

import hmac
import re
import secrets

from jobs.second_factor.rules import RECOVERY_BITS, RECOVERY_CODES

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = RECOVERY_BITS // 5
SET_KEY_BYTES = 32

_CODE = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", " ": None, "-": None})
_LONGEST_TYPED = 64


def new_codes() -> tuple[str, ...]:
    """Return a set of codes as members are shown them."""
    return tuple(_grouped("".join(secrets.choice(ALPHABET) for _ in range(LENGTH))) for _ in range(RECOVERY_CODES))


def new_set_key() -> bytes:
    """Return a key for the hashes of one set."""
    return secrets.token_bytes(SET_KEY_BYTES)


def read_recovery_code(typed: object) -> str | None:
    """Return the code that was typed, whatever its case and grouping, or `None`: it can't be one."""
    if not isinstance(typed, str) or len(typed) > _LONGEST_TYPED or not typed.isascii():
        return None
    code = typed.upper().translate(_MISREAD)
    return code if _CODE.fullmatch(code) else None


def digest(set_key: bytes, code: str) -> bytes:
    """Return what is kept of a code that `read_recovery_code` gave."""
    return hmac.digest(set_key, code.encode("ascii"), "sha256")


def _grouped(code: str) -> str:
    return "-".join(code[at : at + 4] for at in range(0, LENGTH, 4))
