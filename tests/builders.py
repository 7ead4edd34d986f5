"""Organizations, people and sessions of the reference main app.

Everything has a default, so that a test states only what it is about: `await a_member(db, organization, factor=True)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeAlias

import asyncpg

Database: TypeAlias = asyncpg.Connection | asyncpg.Pool

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody of one organization; `sessions` are ids, in the order asked for."""

    id: Any
    organization: Any
    email: str | None
    sessions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """An organization and somebody who may flip its switch."""

    id: Any
    admin: Member
    members: list[Member] = field(default_factory=list)


UNSAID = "unsaid"


async def an_organization(
    db: Database, *, name: str = "Kestrel Logistics", members: int = 0, admin_factor: bool = True, **facts: str | None
) -> Organization:
    """Add an organization with an admin who complies (unless told otherwise) and some unprotected members with a session each."""
    columns = {"name": name, "locale": "en-US", "time_zone": "America/Chicago", "support_url": "https://help.kestrel.example"} | facts
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    statement = f"INSERT INTO app.organizations ({', '.join(columns)}) VALUES ({places}) RETURNING organization_id"
    organization = await db.fetchval(statement, *columns.values())
    admin = await a_member(db, organization, name="Mara Lindqvist", factor=admin_factor)
    return Organization(id=organization, admin=admin, members=[await a_member(db, organization) for _ in range(members)])


async def a_member(
    db: Database,
    organization: Any,
    *,
    name: str | None = "Ada Lovelace",
    email: str | None = UNSAID,
    password: bool = True,
    sso: bool = False,
    factor: bool | Literal["started"] = False,
    active: bool = True,
    kind: str = "employee",
    locale: str | None = "en-GB",
    time_zone: str | None = "Europe/London",
    sessions: Sequence[str | None] = ("password",),
) -> Member:
    """Add somebody; by default unprotected, and signed in once with a password."""
    if email == UNSAID:
        email = f"member{next(_numbers)}@kestrel.example"
    user = await db.fetchval(
        "INSERT INTO app.users (email, display_name, locale, time_zone, password_hash, deactivated_at)"
        " VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN NULL ELSE now() END) RETURNING user_id",
        *(email, name, locale, time_zone, "hash" if password else None, active),
    )
    await db.execute("SELECT app.join_organization($1, $2, $3)", organization, user, kind)
    if sso:
        await db.execute("INSERT INTO app.identities VALUES ('https://login.example.com', $1::text, $2)", str(user), user)
    if factor:
        await db.execute("SELECT app.start_second_factor($1)" if factor == "started" else "SELECT app.confirm_second_factor($1)", user)
    signed_in = [await a_session(db, user, started_with) for started_with in sessions]
    return Member(id=user, organization=organization, email=email, sessions=tuple(signed_in))


async def a_session(
    db: Database, user: Any, started_with: str | None = "password", *, organization: Any = None, restricted: bool = False
) -> int:
    """Sign somebody in behind the gate's back: how it was before the switch, or in an app that forgets to ask."""
    return int(
        await db.fetchval(
            "INSERT INTO app.sessions (user_id, started_with, organization_id, restricted_to_enrolment) VALUES ($1, $2, $3, $4)"
            " RETURNING session_id",
            *(user, started_with, organization, restricted),
        )
    )
