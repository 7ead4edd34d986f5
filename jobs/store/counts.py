"""What processes counted, added up, and which of them are alive."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from jobs.store.database import Connection, Database
from jobs.store.statements import statement

ADD = statement("add_counts")
WITHDRAW = statement("withdraw_process")
LIST = statement("list_counts")
LIST_OF_HOST = statement("list_host_processes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One sum, as Prometheus names it."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A process, how long ago it was heard of, and how late its event loop was at most in the five seconds before."""

    process: str
    kind: str
    loop_lag_seconds: float
    silent_seconds: float


async def add(
    db: Database, *, process: str, kind: str, version: str, telling: UUID, lag_seconds: float, rises: Sequence[tuple[str, str, float]]
) -> None:
    """Add `rises` (name, labels as a JSON object, amount) and say that the process is alive; the same `telling` twice adds once."""
    names, labels, amounts = zip(*rises, strict=True) if rises else ((), (), ())
    await db.execute(ADD, process, kind, version, telling, lag_seconds, names, labels, amounts)


async def add_apart(db: Connection, *, process: str, kind: str, version: str, rises: Sequence[tuple[str, str, float]]) -> None:
    """Add what a command has counted that ends now; it is never seen among the processes."""
    async with db.transaction():
        await add(db, process=process, kind=kind, version=version, telling=uuid4(), lag_seconds=0, rises=rises)
        await withdraw(db, process)


async def withdraw(db: Database, process: str) -> None:
    """Say that a process has ended."""
    await db.execute(WITHDRAW, process)


async def list_all(db: Database) -> list[Count]:
    """Return every sum."""
    return [Count(**row) for row in await db.fetch(LIST)]


async def list_of_host(db: Database, host: str) -> list[Seen]:
    """Return the processes of a host that were heard of in the last ten minutes, the latest first; killed ones are among them."""
    return [Seen(**row) for row in await db.fetch(LIST_OF_HOST, host)]
