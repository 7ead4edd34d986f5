"""Tokens that programs use the API with. Only their SHA-256 is kept: 256 random bits need no slow hash.

A token is shown once, when it is made. It looks like `pct_...`, so that scanners of leaked secrets can tell it.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from jobs.domain.permissions import Role
from jobs.store.database import Connection, Database
from jobs.store.statements import statement
from jobs.store.steering import MalformedOrderError, Order, Stale, Unknown, note
from jobs.store.steering.orders import carrying_out

ADD = statement("add_token")
FIND = statement("find_token")
LIST = statement("list_tokens")
REVOKE = statement("revoke_token")

PREFIX = "pct_"
BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TOKEN = re.compile(r"pct_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whoever holds a token that is good."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as people see it: everything but itself. `expires_at` `None`: good until it is revoked."""

    name: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    is_good: bool


async def add(db: Database, order: Order, name: str, role: Role, *, expires_at: datetime | None = None) -> str:
    """Make a token and return it; it can't be had again.

    Raises:
        MalformedOrderError: The name is not fit.
        Stale: A token that is good has that name.
    """
    if not NAME.fullmatch(name):
        raise MalformedOrderError(f"{name!r} is no name of a token: letters, digits and . _ @ -, up to 64")
    token = PREFIX + secrets.token_urlsafe(BYTES)
    async with carrying_out(db) as connection:
        if await connection.fetchrow(ADD, name, role, digest(token), order.actor.strip(), expires_at) is None:
            raise Stale("token_exists", f"There is a token {name} already", f"Revoke it first: `portcullis tokens revoke {name}`.")
        await _note(connection, order, "add_token", name, role=str(role), expires_at=expires_at)
    return token


async def revoke(db: Database, order: Order, name: str) -> None:
    """Let a token be good no longer.

    Raises:
        Unknown: There is no such token, or it was revoked before.
    """
    async with carrying_out(db) as connection:
        if await connection.fetchrow(REVOKE, name) is None:
            raise Unknown("unknown_token", f"There is no token {name}, or it is revoked", "`portcullis tokens list` lists them.")
        await _note(connection, order, "revoke_token", name)


async def find(db: Database, token: str) -> Bearer | None:
    """Return whose token this is; `None`: it is none, or not any more."""
    if not TOKEN.fullmatch(token):
        return None
    row = await db.fetchrow(FIND, digest(token))
    return None if row is None else Bearer(name=row["name"], role=Role(row["role"]))


async def list_tokens(db: Database) -> list[Token]:
    """Return every token, those that are good first."""
    return [Token(**{**row, "role": Role(row["role"])}) for row in await db.fetch(LIST)]


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def _note(db: Connection, order: Order, verb: str, name: str, **details: object) -> None:
    await note(db, order, verb, scope="token", subject=name, details=details)
