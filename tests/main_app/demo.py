"""Make a seeded demo one that can be walked into: its admin by SSO, an unprotected member by password."""

from dataclasses import dataclass

import asyncpg

from tests.main_app import passwords
from tests.main_app.people import PASSWORD, load_schema, make_admin
from tests.main_app.provider import ISSUER

FIRST_MEMBER = """
    SELECT user_id, email FROM app.memberships JOIN app.users USING (user_id) WHERE organization_id = $1 ORDER BY user_id LIMIT 1
"""
FIRST_UNPROTECTED = """
    SELECT user_id, email FROM directory.member
    WHERE organization_id = $1 AND has_password AND NOT has_sso AND email_verified AND locale LIKE 'en%'
      AND email NOT LIKE 'gone.%' -- the demo's mail server refuses those
      AND portcullis.verdict(is_active, has_password, has_sso, has_second_factor, kind, '{}') = 'unprotected'
    ORDER BY user_id LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Addresses to sign in with."""

    admin: str
    member: str
    password: str = PASSWORD


async def open_doors(database_url: str, organization_id: int) -> Doors:
    """Load the schema, and let the organization's first member run it and another one sign in."""
    db = await asyncpg.connect(database_url)
    try:
        async with db.transaction():
            await load_schema(db)
            await db.execute("INSERT INTO app.activity SELECT user_id, max(started_at) FROM app.sessions GROUP BY user_id")
            admin = await db.fetchrow(FIRST_MEMBER, organization_id)
            await make_admin(db, organization_id, admin["user_id"])
            await db.execute("INSERT INTO app.identities VALUES ($1, $2::text, $3)", ISSUER, str(admin["user_id"]), admin["user_id"])
            member = await db.fetchrow(FIRST_UNPROTECTED, organization_id)
            kept = passwords.hashed(PASSWORD)
            await db.execute("UPDATE app.users SET password_hash = $1 WHERE user_id = $2", kept, member["user_id"])
    finally:
        await db.close()
    return Doors(admin=admin["email"], member=member["email"])
