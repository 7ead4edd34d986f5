"""The suppression list as people see and change it. Refusals and bounces fill it by themselves, in the statements that write them down.

An address with letters beyond ASCII in its domain may be held by the main app in either spelling; both are put on the list, or taken off.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import idna

from jobs.domain.addresses import to_mailbox
from jobs.store.database import Database
from jobs.store.ids import OrganizationId
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import MalformedOrderError, Order, Stale, carrying_out

LIST = statement("list_suppressions")
ADD = statement("add_suppressions")
REMOVE = statement("remove_suppressions")


class Source(StrEnum):
    """Who put an address on the list: a relay's refusal, a report that came back, or somebody."""

    REFUSED = "refused"
    BOUNCE = "bounce"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One address that is not written to. `run_id` and `organization_id`: whose letter found out; `expires_at` `None`: never."""

    address: str
    source: Source
    reason: str
    run_id: int | None
    organization_id: OrganizationId | None
    since: datetime
    expires_at: datetime | None


async def list_suppressions(
    db: Database, *, source: Source | None = None, address: str | None = None, limit: int = 50
) -> list[Suppression]:
    """Return what holds now, the latest first: all of it, of one source, or one address in its spellings.

    Raises:
        MalformedOrderError: It is no address.
    """
    rows = await db.fetch(LIST, source, None if address is None else spellings(address), limit)
    return [Suppression(**{**row, "source": Source(row["source"])}) for row in rows]


async def suppress(db: Database, order: Order, address: str) -> None:
    """Write to an address no more, whatever the letter, until somebody takes it from the list. Repeatable; the last reason stays.

    The record of who did it names the address by a digest only: such records outlive people.

    Raises:
        MalformedOrderError: It is no address.
    """
    spelled = spellings(address)
    async with carrying_out(db) as connection:
        await connection.fetch(ADD, spelled, order.reason.strip())
        await note(connection, order, "suppress", scope="address", subject=digest_of(spelled[0]))


async def unsuppress(db: Database, order: Order, address: str) -> Source:
    """Write to an address again, from the next letter on; returns who had put it on the list.

    Raises:
        MalformedOrderError: It is no address.
        Stale: It is not on the list.
    """
    spelled = spellings(address)
    async with carrying_out(db) as connection:
        rows = await connection.fetch(REMOVE, spelled)
        if not rows:
            raise Stale("not_suppressed", "This address is not on the list", "`portcullis suppressions list` shows what is.")
        source = Source(rows[0]["source"])
        await note(connection, order, "unsuppress", scope="address", subject=digest_of(spelled[0]), details={"source": source})
    return source


def spellings(address: str) -> list[str]:
    """Return an address as it is compared, with its domain in ASCII, and also in its own script where that is another.

    Raises:
        MalformedOrderError: It is no address that mail can go to.
    """
    try:
        mailbox = to_mailbox(address.strip())
    except ValueError as error:
        raise MalformedOrderError(f"this is no address that mail can go to: {error}") from None
    local, _, domain = mailbox.lower().rpartition("@")
    try:
        return list(dict.fromkeys([f"{local}@{domain}", f"{local}@{idna.decode(domain)}"]))
    except idna.IDNAError:
        return [f"{local}@{domain}"]


def digest_of(address: str) -> str:
    """Return what stands for an address where records are kept for longer than people are: who knows the address can find them."""
    return "sha256:" + sha256(address.encode()).hexdigest()[:16]
