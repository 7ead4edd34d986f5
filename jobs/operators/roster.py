"""Who may sign in: added, listed, reset and removed on the command line, by whoever has the database.

An invitation's code is shown once and kept as a digest. It is 120 bits, good for three days and for one set-up.
"""

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.domain.permissions import Role
from jobs.operators.throttle import Tried, key_of
from jobs.store.database import Database
from jobs.store.statements import statement

ADD = statement("add_operator")
LIST = statement("list_operators")
REMOVE = statement("remove_operator")
RESET = statement("reset_operator")

INVITED_FOR = timedelta(days=3)
CODE_BYTES = 15
GROUP = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An operator as the list shows them. `invited_until`: they have yet to begin, or were reset."""

    name: str
    role: Role
    added_at: datetime
    signed_in_at: datetime | None
    is_set_up: bool
    invited_until: datetime | None
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What is handed to somebody so that they can begin. It can't be read again."""

    code: str
    until: datetime


async def add(db: Database, name: str, role: Role) -> Invitation | None:
    """Add an operator; `None`: there is somebody of that name."""
    code = _new_code()
    until = await db.fetchval(ADD, name, role, digest_of(code), INVITED_FOR)
    return None if until is None else Invitation(code=code, until=until)


async def reset(db: Database, name: str) -> Invitation | None:
    """Take password, second factor and sessions away and invite anew; `None`: there is nobody of that name."""
    code = _new_code()
    keys = [key_of(tried, name) for tried in (Tried.CODE, Tried.FIRST_CODE)]
    row = await db.fetchrow(RESET, name, digest_of(code), INVITED_FOR, keys)
    return None if row is None else Invitation(code=code, until=row["invited_until"])


async def remove(db: Database, name: str) -> bool:
    """Remove an operator and end their sessions; returns whether there was one."""
    return await db.fetchval(REMOVE, name) is not None


async def list_operators(db: Database) -> list[Listed]:
    """Return everybody, by name."""
    return [Listed(**{**row, "role": Role(row["role"])}) for row in await db.fetch(LIST)]


def digest_of(typed: str) -> bytes:
    """Return the digest of a code, however its groups and its case were typed."""
    return hashlib.sha256("".join(typed.upper().replace("-", " ").split()).encode()).digest()


def _new_code() -> str:
    text = b32encode(secrets.token_bytes(CODE_BYTES)).decode()
    return "-".join(text[start : start + GROUP] for start in range(0, len(text), GROUP))
