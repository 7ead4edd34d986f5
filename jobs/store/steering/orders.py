"""Who orders something, by which way and why; what an order can come to; and the one transaction that it is carried out in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import asyncpg

from jobs.store.database import Connection, Database

Via: TypeAlias = Literal["cli", "console", "api", "worker"]

LONGEST_ACTOR = 200
LONGEST_REASON = 1_000


class MalformedOrderError(ValueError):
    """An order that nobody could carry out: no reason, no name, or too long a one. Its words may be shown to whoever gave it."""


class Stale(Exception):  # noqa: N818 -- named by what happens next: nothing is done
    """There is nothing to act on, or not any more, because somebody acted meanwhile. Nothing was done; look again.

    `name` is for programs and never changes its meaning, such as `not_dead`; `what` says it in a sentence without a full stop, `to_do`
    what to do about it.
    """

    def __init__(self, name: str, what: str, to_do: str) -> None:
        self.name, self.what, self.to_do = name, what, to_do
        super().__init__(f"{what}. {to_do}")


class Unknown(Stale):
    """What is named does not exist at all."""


class Refused(Stale):
    """It is there, and the order would break a promise of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who orders it, by which way, and why: at least one visible character each.

    Raises:
        MalformedOrderError: One of them is blank, too long, or holds what PostgreSQL can't store.
    """

    actor: str
    via: Via
    reason: str

    def __post_init__(self) -> None:
        _check("the name of who orders it", self.actor, LONGEST_ACTOR)
        _check("the reason", self.reason, LONGEST_REASON)


def _check(what: str, text: str, longest: int) -> None:
    if not text.strip():
        raise MalformedOrderError(f"{what} is missing: every order is recorded with who gave it and why")
    if len(text) > longest:
        raise MalformedOrderError(f"{what} has {len(text)} characters, and {longest} at most are kept")
    if "\0" in text or text.encode(errors="ignore").decode() != text:  # half of a surrogate pair can't be stored
        raise MalformedOrderError(f"{what} has characters that can't be stored")


@asynccontextmanager
async def carrying_out(db: Database) -> AsyncIterator[Connection]:
    """Yield the connection of one transaction, within the caller's if there is one; all or nothing.

    READ COMMITTED spelled out, in case the database's default is stricter: what is acted on is looked at after its lock was granted.
    """
    if isinstance(db, asyncpg.Pool):
        async with db.acquire() as connection, connection.transaction(isolation="read_committed"):
            yield connection
    else:
        async with db.transaction(isolation="read_committed"):
            yield db
