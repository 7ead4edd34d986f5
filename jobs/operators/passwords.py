"""Passwords of operators, hashed with Argon2id (RFC 9106), and what a password must be.

The parameters are OWASP's first choice for a server that people sign in to now and then: 19 MiB, two passes, one lane. A hash carries its
own, so raising them here leaves the older ones readable. The work is done on two threads of its own: no flood of guesses takes more.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32

SHORTEST: Final = 12
LONGEST: Final = 128
"""Characters. Beside a second factor NIST SP 800-63B-4 3.1.1.2 asks for 8, and for at least 64 to be allowed."""
FEWEST_DIFFERENT: Final = 6

_hashing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2id")


async def hashed(password: str) -> str:
    """Return what is kept of a password, in the format of the Password Hashing Competition."""
    return await asyncio.get_running_loop().run_in_executor(_hashing, _hash, password)


async def is_right(password: str, kept: str | None) -> bool:
    """Tell whether a password is the one. Where there is none to compare with, it takes as long."""
    return await asyncio.get_running_loop().run_in_executor(_hashing, _verify, password[:LONGEST], kept)


def poverty(password: str, name: str) -> str | None:
    """Say what keeps this from being a password; `None`: nothing. No composition rules (NIST SP 800-63B-4 3.1.1.2)."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"A password has {SHORTEST} to {LONGEST} characters; a few words are best."
    if len(set(password)) < FEWEST_DIFFERENT:
        return "That repeats too few characters; a few words are best."
    if any(word in password.lower() for word in (name, "portcullis")):
        return "A password contains neither your name nor that of this program."
    return None


def _hash(password: str) -> str:
    return _kdf(secrets.token_bytes(SALT_BYTES)).derive_phc_encoded(password.encode())


def _verify(password: str, kept: str | None) -> bool:
    if kept is None:
        _hash(password)
        return False
    try:
        Argon2id.verify_phc_encoded(password.encode(), kept)
    except InvalidKey:
        return False
    return True


def _kdf(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
