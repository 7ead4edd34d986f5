"""People of the reference main app, for tests of what an app and its ops call. Everything has a default; a test states what it is about."""

from collections.abc import Sequence
from typing import Any

import asyncpg


async def an_organization(db: asyncpg.Connection, name: str = "Kestrel") -> Any:
    return await db.fetchval("INSERT INTO app.organizations (name) VALUES ($1) RETURNING organization_id", name)


async def a_member(
    db: asyncpg.Connection,
    organization_id: Any,
    *,
    password: bool = True,
    sso: bool = False,
    factor: bool = False,
    active: bool = True,
    kind: str = "employee",
    sessions: Sequence[str | None] = (),
) -> Any:
    """Add somebody; `sessions` says how each of theirs was started."""
    user_id = await db.fetchval(
        "INSERT INTO app.users (email, password_hash, display_name, deactivated_at)"
        " VALUES ('someone@example.com', $1, 'Someone', CASE WHEN $2 THEN NULL ELSE now() END) RETURNING user_id",
        "hash" if password else None,
        active,
    )
    await db.execute("SELECT app.join_organization($1, $2, $3)", organization_id, user_id, kind)
    if sso:
        await db.execute("INSERT INTO app.identities VALUES ('https://login.example.com', $1::text, $2)", str(user_id), user_id)
    if factor:
        await db.execute("SELECT app.confirm_second_factor($1)", user_id)
    for started_with in sessions:
        await db.execute("INSERT INTO app.sessions (user_id, started_with) VALUES ($1, $2)", user_id, started_with)
    return user_id


async def an_admin(db: asyncpg.Connection, organization_id: Any) -> Any:
    """Add somebody who may flip the switch."""
    return await a_member(db, organization_id, factor=True)
