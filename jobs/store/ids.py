"""Ids of members and organizations, whose type the main app chose.

In Python an id is what asyncpg gives and takes for that type: `int`, `uuid.UUID` or `str`. Code passes ids on and never looks inside.
"""

import re
from dataclasses import dataclass
from typing import NewType
from uuid import UUID

import asyncpg

MemberId = NewType("MemberId", object)
OrganizationId = NewType("OrganizationId", object)

RANGES = {"integer": 2**31, "bigint": 2**63}

INTEGER = re.compile(r"-?[0-9]+")
"""Python reads more than this as a number: underscores, spaces, the digits of every script."""


class MalformedIdError(ValueError):
    """What was given can't be an id of this installation."""

    def __init__(self, what: str, given: object, type_: str) -> None:
        super().__init__(f"{given!r} is no {what}: this installation's ids are of type {type_}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTypes:
    """The two id types of an installation, each one of integer, bigint, uuid, text."""

    member: str
    organization: str

    @classmethod
    async def read(cls, db: asyncpg.Pool | asyncpg.Connection) -> "IdTypes":
        """Read the types from the database.

        Raises:
            LookupError: Portcullis is not installed there.
        """
        rows = await db.fetch(
            "SELECT t.typname::text AS name, format_type(t.typbasetype, NULL) AS base FROM pg_type t"
            " JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'portcullis' AND t.typtype = 'd'"
        )
        types = {row["name"]: row["base"] for row in rows}
        try:
            return cls(member=types["member_id"], organization=types["organization_id"])
        except KeyError:
            raise LookupError("Portcullis is not installed in this database; run `portcullis migrate`") from None

    def to_member(self, given: object) -> MemberId:
        """Return `given` (an id, or its text) as a member id. Raises `MalformedIdError`."""
        return MemberId(_convert("user id", given, self.member))

    def to_organization(self, given: object) -> OrganizationId:
        """Return `given` (an id, or its text) as an organization id. Raises `MalformedIdError`."""
        return OrganizationId(_convert("organization id", given, self.organization))


def _convert(what: str, given: object, type_: str) -> object:
    try:
        return _read(_spelling(given), type_)
    except ValueError:
        raise MalformedIdError(what, given, type_) from None


def _spelling(given: object) -> str:
    """Return an id's text. Nothing and truth values have none, though they would make a fine `text` id: 'None'."""
    if given is None or isinstance(given, bool):
        raise ValueError(given)
    return str(given)


def _read(text: str, type_: str) -> object:
    match type_:
        case "uuid":
            return UUID(text)
        case "text":
            return _storable(text)
        case _:
            return _integer(text, RANGES[type_])


def _storable(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    text.encode()  # half of a surrogate pair can't be, which is a ValueError too
    return text


def _integer(text: str, end: int) -> int:
    number = int(text)
    if not INTEGER.fullmatch(text) or not -end <= number < end:
        raise ValueError(text)
    return number
