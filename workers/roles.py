"""Make the roles of `jobs.store.roles` and give each what it may, all in one transaction. Repeatable; takes away what is too much.

Roles belong to the server, rights to the database. The main app's own schema is not ours: rights on `directory` are given where whoever
migrates may give them, and named where not.
"""

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from jobs.store.roles import COLUMNS, CONTRACT, IN_DIRECTORY, KEEPERS, TABLES, WORDS, Role, callers

SEARCH_PATH = "pg_catalog, pg_temp"


def are_installed(connection: Connection) -> bool:
    """Return whether the schema belongs to our owner."""
    question = "SELECT n.nspowner::regrole::text = :owner FROM pg_namespace n WHERE n.nspname = 'portcullis'"
    return bool(connection.scalar(text(question), {"owner": Role.OWNER.sql_name}))


def become_owner(connection: Connection) -> None:
    """Create what follows as the owner, until the connection ends or `RESET ROLE`."""
    connection.execute(text(f"SET ROLE {Role.OWNER.sql_name}"))
    connection.commit()


def apply(connection: Connection) -> None:
    """Create the roles, hand everything to the owner, and grant; rights on `directory` as far as they can be given."""
    connection.execute(text("RESET ROLE"))
    for role in Role:
        _create(connection, role)
    if not connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        connection.execute(text(f"GRANT {Role.OWNER.sql_name} TO CURRENT_USER"))
    for statement in _statements(connection):
        connection.execute(text(statement))
    connection.commit()
    for statement in (given for given in IN_DIRECTORY if given.startswith("GRANT")):
        with suppress(ProgrammingError):
            connection.execute(text(statement))
        connection.commit()


def _create(connection: Connection, role: Role) -> None:
    if not connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :name"), {"name": role.sql_name}):
        connection.execute(text(f"CREATE ROLE {role.sql_name} NOLOGIN"))


def _statements(connection: Connection) -> Iterator[str]:
    yield from _ownership(connection)
    everybody = ", ".join(role.sql_name for role in Role if role is not Role.OWNER)
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA portcullis FROM PUBLIC, {everybody}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA portcullis FROM PUBLIC, {everybody}"
    yield f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA portcullis FROM PUBLIC, {everybody}"
    yield f"REVOKE ALL ON SCHEMA portcullis FROM PUBLIC, {everybody}"
    yield f"GRANT USAGE ON SCHEMA portcullis TO {everybody}"
    for table, rights in TABLES.items():
        for role, letters in rights.items():
            yield f"GRANT {', '.join(WORDS[letter] for letter in letters)} ON portcullis.{table} TO {role.sql_name}"
    for part in COLUMNS:
        for role, letters in part.rights.items():
            verbs = ", ".join(f"{WORDS[letter]} ({', '.join(part.names)})" for letter in letters)
            yield f"GRANT {verbs} ON portcullis.{part.table} TO {role.sql_name}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA portcullis TO {Role.WORKER.sql_name}, {Role.CONSOLE.sql_name}"
    yield from _functions(connection)


def _ownership(connection: Connection) -> Iterator[str]:
    """Hand over what is not the owner's yet; a table that is, is not locked for it."""
    owner = Role.OWNER.sql_name
    yield f"ALTER SCHEMA portcullis OWNER TO {owner}"
    kinds = {
        "TABLE portcullis.%I": ("relname", "pg_class", "relnamespace", "relowner", "relkind = 'r'"),
        "FUNCTION %s": ("oid::regprocedure", "pg_proc", "pronamespace", "proowner", "true"),
        "DOMAIN portcullis.%I": ("typname", "pg_type", "typnamespace", "typowner", "typtype = 'd'"),
    }
    questions = [
        f"SELECT format('ALTER {kind} OWNER TO {owner}', {name}) FROM {catalog}"
        f" WHERE {schema} = 'portcullis'::regnamespace AND {owned_by}::regrole::text <> '{owner}' AND {condition}"
        for kind, (name, catalog, schema, owned_by, condition) in kinds.items()
    ]
    rows = [row for question in questions for row in connection.execute(text(question))]
    yield from [str(row[0]) for row in rows]


def _functions(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        text("SELECT p.proname, p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'portcullis'::regnamespace ORDER BY 2")
    )
    for name, signature in list(rows):
        if name in (*CONTRACT, *KEEPERS):
            yield f"ALTER FUNCTION {signature} SECURITY DEFINER SET search_path = {SEARCH_PATH}"
        if allowed := callers(name):
            yield f"GRANT EXECUTE ON FUNCTION {signature} TO {', '.join(role.sql_name for role in sorted(allowed))}"
