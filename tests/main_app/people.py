"""People who can sign in to the reference main app: each fact has a default, a caller says what it is about."""

from datetime import timedelta
from pathlib import Path

import asyncpg

from tests.main_app import passwords
from tests.main_app.provider import ISSUER

PASSWORD = "correct horse battery staple"
SCHEMA = Path(__file__).with_name("schema.sql")

ADD_USER = """
    INSERT INTO app.users (email, email_verified_at, display_name, locale, time_zone, password_hash, deactivated_at)
    VALUES ($1, now(), $2, 'en-GB', 'Europe/London', $3, CASE WHEN $4 THEN NULL ELSE now() END) RETURNING user_id
"""


async def load_schema(db: asyncpg.Connection) -> None:
    """Add what the pages need; the reference main app's SQL and Portcullis's are there already."""
    await db.execute(SCHEMA.read_text())


async def an_organization(db: asyncpg.Connection, name: str) -> int:
    """Add an organization."""
    organization_id: int = await db.fetchval(
        "INSERT INTO app.organizations (name, locale, time_zone) VALUES ($1, 'en-GB', 'Europe/London') RETURNING organization_id", name
    )
    return organization_id


async def a_person(
    db: asyncpg.Connection,
    organization_id: int,
    name: str,
    email: str,
    *,
    password: bool = True,
    sso: bool = False,
    admin: bool = False,
    active: bool = True,
    idle: timedelta | None = timedelta(days=1),
) -> int:
    """Add a member and return their id. `idle`: how long ago their account was last used; `None`: never."""
    kept = passwords.hashed(PASSWORD) if password else None
    user_id: int = await db.fetchval(ADD_USER, email, name, kept, active)
    await db.execute("SELECT app.join_organization($1, $2)", organization_id, user_id)
    if sso:
        await db.execute("INSERT INTO app.identities (provider, subject, user_id) VALUES ($1, $2::text, $3)", ISSUER, str(user_id), user_id)
    if admin:
        await make_admin(db, organization_id, user_id)
    if idle is not None:
        await db.execute("INSERT INTO app.activity (user_id, last_active_at) VALUES ($1, now() - $2::interval)", user_id, idle)
    return user_id


async def make_admin(db: asyncpg.Connection, organization_id: int, user_id: int) -> None:
    """Let somebody flip the organization's switch."""
    await db.execute("INSERT INTO app.admins (organization_id, user_id) VALUES ($1, $2)", organization_id, user_id)
