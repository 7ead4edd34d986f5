"""Passwords, hashed with scrypt out of the standard library (RFC 7914; OWASP's parameters N=2^14, r=8, p=5)."""

import hashlib
import hmac
import secrets

_N, _R, _P = 2**14, 8, 5
_MEMORY = 64 * 1024 * 1024


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_scrypt(password, salt).hex()}"


def is_right(password: str, kept: str | None) -> bool:
    """Tell whether a password is the one. Where there is none to compare with, it takes as long."""
    name, _, rest = (kept or "").partition("$")
    salt, _, digest = rest.partition("$")
    if name != "scrypt":
        _scrypt(password, b"nobody's")
        return False
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)).hex(), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)
