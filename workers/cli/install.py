"""Install and upgrade the schema."""

import asyncio
from typing import Annotated, Literal, TypeAlias

import psycopg
from cyclopts import Parameter
from sqlalchemy.exc import ArgumentError, DBAPIError

from jobs.store import granted
from jobs.store.contract import ContractError
from jobs.store.roles import Role
from workers import migrations
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.screen import tell, tell_json
from workers.migrations import MigrationError
from workers.settings import DatabaseSettings

OLDEST_POSTGRES = 14

IdType: TypeAlias = Literal["integer", "bigint", "uuid", "text"]


def migrate(
    *,
    member_id_type: Annotated[
        IdType | None, Parameter(help="Type of the main app's user ids, chosen at the first installation; bigint, unless told otherwise.")
    ] = None,
    organization_id_type: Annotated[IdType | None, Parameter(help="Type of the main app's organization ids, the same way.")] = None,
    roles: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Also make a role for each kind of process, with the rights that it needs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Install or upgrade the schema `portcullis`.

    First looks at what the main app offers in the schema `directory`; whatever is missing is named and nothing is created. Repeat it as
    often as you like: it only goes forward, and waits for no lock longer than two seconds. Needs DATABASE_URL, or DATABASE_URL_DIRECT where
    the former goes through a transaction pooler.

    With `--roles` it also makes `portcullis_owner`, `portcullis_app`, `portcullis_worker` and so on, none of which can sign in: grant them
    to the logins of your processes. Once they are there, every later `migrate` keeps their rights up to date.

    ```console
    $ portcullis migrate
    $ portcullis migrate --roles
    $ portcullis migrate --member-id-type uuid --organization-id-type integer
    ```
    """
    asyncio.run(_look_at_server())
    url = DatabaseSettings.load().direct_database_url
    try:
        revision = migrations.migrate(url, member_id_type=member_id_type, organization_id_type=organization_id_type, with_roles=roles)
    except (ContractError, MigrationError, DBAPIError, ArgumentError) as error:
        raise _failed(error) from error
    left = asyncio.run(_find_left()) if roles else []
    if as_json:
        tell_json({"revision": revision, **({"left_to_run": left} if roles else {})})
    else:
        tell(f"The schema portcullis is at revision {revision}, the newest.")
        if roles:
            tell(f"Its roles are made: {', '.join(role.sql_name for role in Role)}. Grant them to the logins of your processes.")
        if left:
            tell("Left to run for whoever owns the schema directory:", *(f"  {statement};" for statement in left))


async def _find_left() -> list[str]:
    async with connected(directly=True) as db:
        return await granted.find_left(db)


async def _look_at_server() -> None:
    async with connected(directly=True) as db:
        version = db.get_server_version()
    if version.major < OLDEST_POSTGRES:
        what = f"This is PostgreSQL {version.major}; Portcullis needs {OLDEST_POSTGRES} or newer"
        raise Failure(ExitCode.NOT_SET_UP, "too_old", what, "Upgrade PostgreSQL.")


def _failed(error: Exception) -> Failure:
    match error:
        case ContractError():
            what = "The schema `directory` does not keep the contract; nothing was created"
            to_do = "Mend what the main app offers there and run this again; workers/demo/main_app.sql is an example to copy."
            return Failure(ExitCode.NOT_SET_UP, "contract", what, to_do, error.faults)
        case MigrationError():
            return Failure(ExitCode.REFUSED, "migration_refused", str(error))
        case DBAPIError(orig=psycopg.errors.LockNotAvailable()):
            to_do = "Run it again at a quieter moment; what is done stays done."
            return Failure(ExitCode.UNREACHABLE, "busy", "A table stayed locked by others", to_do)
        case DBAPIError(orig=psycopg.errors.InsufficientPrivilege() as cause):
            to_do = "Run it as the owner of the schema portcullis, or as a role that may create schemas in this database."
            return Failure(ExitCode.NOT_SET_UP, "not_allowed", f"PostgreSQL does not allow it: {cause.diag.message_primary}", to_do)
        case DBAPIError():
            to_do = "Nothing of the revision in progress was kept; run it again."
            return Failure(ExitCode.UNREACHABLE, "migration_failed", f"PostgreSQL answered: {str(error.orig).splitlines()[0]}", to_do)
        case _:
            to_do = "Write it as postgresql://user:password@host:5432/database, special characters percent-encoded."
            return Failure(ExitCode.NOT_SET_UP, "configuration", "The URL of the database can't be read", to_do)
