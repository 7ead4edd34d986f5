"""Install and upgrade the schema `portcullis`: checks the contract first, then runs Alembic.

Forward only and repeatable. Safe under load: one migrator at a time (advisory lock), no statement waits for a table lock longer than
two seconds; whoever could not get it tries again later. It needs a direct connection, not a transaction pooler.
"""

import logging
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from tenacity import RetryError, Retrying, before_sleep_log, retry_if_exception, stop_after_attempt, wait_random_exponential

from jobs.store import contract
from jobs.store.contract import ID_TYPES, Column, ContractError, EndSessions
from workers import roles

SCRIPTS = Path(contract.__file__).parent / "migrations"
LOCK = 0x706F7274  # 'port': one migrator at a time

ATTEMPTS = 10
LOCK_SECONDS = 2.0
PAUSE_SECONDS = 10.0
"""At most, between two attempts."""

logger = logging.getLogger(__name__)


class MigrationError(Exception):
    """The schema can't be installed as asked; the message says what to do."""


def migrate(url: str, *, member_id_type: str | None = None, organization_id_type: str | None = None, with_roles: bool = False) -> str:
    """Bring the schema to the newest revision and return that revision's name.

    The id types are chosen at the first installation (default: bigint) and can't change afterwards. `with_roles`: also make the roles of
    `jobs.store.roles`; once they are there, every later migration keeps their rights up to date.

    Raises:
        ContractError: `directory` lacks something; nothing was created.
        MigrationError: An id type is unknown or differs from the one installed; a lock was not to be had.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    patiently = Retrying(
        retry=retry_if_exception(_is_lock_timeout),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=PAUSE_SECONDS),
        before_sleep=before_sleep_log(logger, logging.WARNING),
    )
    try:
        return patiently(_alone, engine, member_id_type, organization_id_type, with_roles)
    except RetryError as error:
        raise MigrationError(
            "another migration or a long transaction held a lock that was needed, at each of "
            f"{ATTEMPTS} attempts; nothing is half done, try again later"
        ) from error


def newest_revision() -> str:
    """Return the revision that this code expects."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def installed_revision(url: str) -> str | None:
    """Return the revision in the database, or `None` when Portcullis is not installed."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        return _revision(connection)


def _alone(engine: Engine, member_id_type: str | None, organization_id_type: str | None, with_roles: bool) -> str:  # noqa: FBT001 -- tenacity passes it on
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS * 1000:.0f}ms'"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        try:
            return _upgrade(connection, member_id_type, organization_id_type, with_roles=with_roles)
        finally:
            connection.rollback()
            connection.execute(text("RESET ROLE"))
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
            connection.commit()


def _upgrade(connection: Connection, member_id_type: str | None, organization_id_type: str | None, *, with_roles: bool) -> str:
    installed = _installed_types(connection)
    declared = _check_contract(
        connection,
        member=_choose("member", member_id_type, installed.get("member_id")),
        organization=_choose("organization", organization_id_type, installed.get("organization_id")),
    )
    _ensure_schema(connection)
    types = {"member_id_type": declared["member"], "organization_id_type": declared["organization"]}
    has_roles = roles.are_installed(connection)
    connection.commit()
    if has_roles:
        roles.become_owner(connection)
    command.upgrade(_config(connection=connection, **types), "head")
    if has_roles or with_roles:
        roles.apply(connection)
    return str(_revision(connection))


def _ensure_schema(connection: Connection) -> None:
    """Create the schema if an administrator has not: IF NOT EXISTS would ask for the right to create it in any case."""
    if not connection.scalar(text("SELECT to_regnamespace('portcullis') IS NOT NULL")):
        connection.execute(text("CREATE SCHEMA portcullis"))
    connection.commit()


def _choose(name: str, asked: str | None, installed: str | None) -> str:
    if asked is not None and asked not in ID_TYPES:
        raise MigrationError(f"--{name}-id-type {asked} is unknown; choose one of {', '.join(ID_TYPES)}")
    if asked is not None and installed is not None and asked != installed:
        raise MigrationError(f"Portcullis is installed with --{name}-id-type {installed}; it can't change to {asked} afterwards")
    return asked or installed or "bigint"


def _check_contract(connection: Connection, *, member: str, organization: str) -> dict[str, str]:
    """Return how ids are declared, if `directory` keeps the contract."""
    columns = [Column(**row) for row in connection.execute(text(contract.COLUMNS_QUERY)).mappings()]
    functions = [EndSessions(**row) for row in connection.execute(text(contract.FUNCTIONS_QUERY)).mappings()]
    connection.commit()
    faults = contract.find_faults(columns, functions, member=member, organization=organization)
    if faults:
        raise ContractError(faults)
    return contract.declare_ids(columns, member=member, organization=organization)


def _installed_types(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        text(
            "SELECT t.typname::text, pg_catalog.format_type(t.typbasetype, NULL) FROM pg_catalog.pg_type t"
            " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = 'portcullis' WHERE t.typtype = 'd'"
        )
    )
    return {name: base for name, base in rows}  # noqa: C416 -- dict() of rows has no types


def _revision(connection: Connection) -> str | None:
    options = {"version_table": "schema_version", "version_table_schema": "portcullis"}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _config(**attributes: object) -> Config:
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(SCRIPTS))
    return config


def _is_lock_timeout(error: BaseException) -> bool:
    cause = getattr(error, "orig", error)
    return isinstance(cause, psycopg.errors.LockNotAvailable)
