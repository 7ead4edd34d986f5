"""A database with the roles, and connections that have the rights of one role and no more."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlencode

import asyncpg
import psycopg

from jobs.store.roles import IN_DIRECTORY, Role
from tests.conftest import UNDER_ROLES, Databases, _load_main_app
from workers.demo.main_app import IdType
from workers.migrations import migrate

LET_ROLES_IN = "; ".join(IN_DIRECTORY) if UNDER_ROLES else "SELECT"
"""For a test that makes views of `directory` anew, whose rights went with the old ones."""


def as_role(url: str, role: Role) -> str:
    """Return the URL for a connection with this role's rights."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'role': role.sql_name})}"


def as_process(url: str, name: str) -> str:
    """Return the URL for a process of that line of the Procfile, with its role's rights."""
    return as_role(url, {"console": Role.CONSOLE, "auditor": Role.AUDITOR, "metrics": Role.METRICS}.get(name, Role.WORKER))


def install_with_roles(url: str, id_type: IdType) -> None:
    """Install Portcullis beside the reference main app, which lets the roles in as `migrate --roles` says."""
    _load_main_app(url, id_type)
    migrate(url, member_id_type=id_type, organization_id_type=id_type, with_roles=True)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("ALTER FUNCTION directory.end_sessions SECURITY DEFINER")


@contextmanager
def a_database_with_roles(databases: Databases, id_type: IdType = IdType.BIGINT) -> Iterator[str]:
    """Yield the URL of one of its own, as a superuser."""
    template = databases.template("with roles", id_type, build=lambda url: install_with_roles(url, id_type))
    name = databases.create(template)
    try:
        yield databases.url_of(name)
    finally:
        databases.drop(name)


@asynccontextmanager
async def acting_as(url: str, role: Role) -> AsyncIterator[asyncpg.Connection]:
    """Connect with the rights of a role."""
    db = await asyncpg.connect(as_role(url, role))
    try:
        yield db
    finally:
        await db.close()
