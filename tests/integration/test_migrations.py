"""`portcullis migrate`: repeatable, forward only, safe under load, and no tie to the app's views."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from jobs.store.contract import ContractError
from jobs.store.statements import FOLDER, RangeStatement
from tests.integration import older_postgres
from tests.integration.switch_parts import EVERY_ID_TYPE
from tests.role_parts import LET_ROLES_IN
from workers import migrations
from workers.demo.main_app import IdType, main_app_sql
from workers.migrations import MigrationError, installed_revision, migrate, newest_revision

Sql = psycopg.Connection[Any]

OLDER_REVISIONS = sorted(one.revision for one in ScriptDirectory.from_config(migrations._config()).walk_revisions())[:-1]

SMOKE = """
    DO $$
    DECLARE
        organization portcullis.organization_id; admin portcullis.member_id; someone portcullis.member_id; run bigint;
    BEGIN
        INSERT INTO app.organizations (name) VALUES ('Kestrel') RETURNING organization_id INTO organization;
        INSERT INTO app.users (password_hash) VALUES ('hash') RETURNING user_id INTO admin;
        INSERT INTO app.users (password_hash) VALUES ('hash') RETURNING user_id INTO someone;
        PERFORM app.join_organization(organization, admin), app.join_organization(organization, someone), app.confirm_second_factor(admin);
        PERFORM app.sign_in(someone, 'password');
        ASSERT (SELECT sum(sessions) FROM portcullis.preview_second_factor(organization)) = 1;
        run := portcullis.require_second_factor(organization, admin, 'audit');
        ASSERT portcullis.require_second_factor(organization, admin, 'again') = run;
        ASSERT portcullis.gate(someone, organization, 'password') = 'second_factor_setup';
        ASSERT portcullis.gate(someone, NULL, 'password') = 'second_factor_setup';
        ASSERT portcullis.gate(admin, organization, 'password') = 'none';
        ASSERT portcullis.sign_in_requirement(someone, 'sso') = 'none';
        ASSERT (app.sign_in(someone, 'password')).restricted_to_enrolment;
        ASSERT portcullis.run_status(run) ->> 'state' = 'running';
        PERFORM portcullis.cancel_run(run, 'wrong day');
        run := portcullis.require_second_factor(organization, admin, 'once more');
        PERFORM portcullis.lift_second_factor(organization, admin, 'over');
        ASSERT portcullis.run_status(run) ->> 'state' = 'cancelled';
        ASSERT portcullis.gate(someone, organization, 'password') = 'none';
    END
    $$
"""
"""Every function once. Without a value where the reference app's ids have no default: integer and bigint, uuid and text all have one."""


@contextmanager
def on(url: str) -> Iterator[Sql]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def value(connection: Sql, query: str, *arguments: object) -> Any:
    row = connection.execute(query.encode(), arguments or None).fetchone()
    return None if row is None else row[0]


def everything(connection: Sql) -> list[tuple[Any, ...]]:
    """All that is in the schema, with its object ids: the same again means that nothing was made anew."""
    return connection.execute(
        "SELECT 'relation', oid, relname::text, relfilenode::text FROM pg_class WHERE relnamespace = 'portcullis'::regnamespace"
        " UNION ALL SELECT 'function', oid, proname::text, md5(prosrc) FROM pg_proc WHERE pronamespace = 'portcullis'::regnamespace"
        " ORDER BY 1, 2"
    ).fetchall()


def install_up_to(url: str, revision: str, *, id_type: str = "bigint") -> None:
    """Install what an older Portcullis would have left."""
    with on(url) as connection:
        connection.execute("CREATE SCHEMA portcullis")
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        types = {"member_id_type": id_type, "organization_id_type": id_type}
        command.upgrade(migrations._config(connection=connection, **types), revision)
    engine.dispose()


@EVERY_ID_TYPE
def test_it_installs_for_every_id_type_and_a_second_time_changes_nothing(main_app_database_url: str, id_type: IdType) -> None:
    url = main_app_database_url
    assert installed_revision(url) is None
    assert migrate(url, member_id_type=id_type, organization_id_type=id_type) == newest_revision() == installed_revision(url)
    with on(url) as connection:
        connection.execute(SMOKE)
        before = everything(connection)
        assert migrate(url) == newest_revision()
        assert migrate(url, member_id_type=id_type, organization_id_type=id_type) == newest_revision()
        assert everything(connection) == before
        connection.execute(SMOKE)


def test_members_and_organizations_may_have_ids_of_different_types(empty_database_url: str) -> None:
    with on(empty_database_url) as connection:
        connection.execute(main_app_sql(member_id=IdType.UUID, organization_id=IdType.INTEGER))
        migrate(empty_database_url, member_id_type="uuid", organization_id_type="integer")
        connection.execute(SMOKE)


@pytest.mark.parametrize("id_type", ["text"], indirect=True)
@pytest.mark.parametrize("asked", [{"member_id_type": "uuid"}, {"organization_id_type": "bigint"}])
def test_an_id_type_cant_change_afterwards(database_url: str, asked: dict[str, Any]) -> None:
    with pytest.raises(MigrationError, match=r"is installed with --(member|organization)-id-type text; it can't change to"):
        migrate(database_url, **asked)


def test_an_unknown_id_type_is_refused_and_the_known_ones_are_named(main_app_database_url: str) -> None:
    with pytest.raises(MigrationError, match="smallint is unknown; choose one of integer, bigint, uuid, text"):
        migrate(main_app_database_url, member_id_type="smallint")
    with on(main_app_database_url) as connection:
        assert value(connection, "SELECT to_regnamespace('portcullis')") is None


def test_a_contract_that_was_broken_later_is_named_and_nothing_is_touched(database_url: str) -> None:
    with on(database_url) as connection:
        before = everything(connection)
        connection.execute("ALTER VIEW directory.member RENAME COLUMN is_active TO active")
        with pytest.raises(ContractError, match=r"directory\.member has no column is_active"):
            migrate(database_url)
        assert everything(connection) == before


def test_two_at_once_install_once(main_app_database_url: str) -> None:
    start = threading.Barrier(3)

    def run(_: int) -> str:
        start.wait()
        return migrate(main_app_database_url)

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(run, range(3))) == [newest_revision()] * 3
    with on(main_app_database_url) as connection:
        connection.execute(SMOKE)


@pytest.mark.parametrize("revision", OLDER_REVISIONS)
def test_an_older_installation_is_brought_up_to_date(main_app_database_url: str, database_url: str, revision: str) -> None:
    install_up_to(main_app_database_url, revision)
    assert installed_revision(main_app_database_url) == revision
    assert migrate(main_app_database_url) == newest_revision()
    with on(main_app_database_url) as upgraded, on(database_url) as fresh:
        assert [row[2:] for row in functions(upgraded)] == [row[2:] for row in functions(fresh)]
        upgraded.execute(SMOKE)


def functions(connection: Sql) -> list[tuple[Any, ...]]:
    return sorted((row for row in everything(connection) if row[0] == "function"), key=lambda row: row[2:])


def test_a_migration_that_fails_leaves_nothing_of_itself(main_app_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install_up_to(main_app_database_url, "0002")
    with on(main_app_database_url) as connection:
        connection.execute("CREATE FUNCTION portcullis.cancel_run(bigint, text) RETURNS void LANGUAGE sql AS 'SELECT'")
        before = everything(connection)
        with pytest.raises(psycopg.errors.DuplicateFunction):
            migrate(main_app_database_url)
        assert everything(connection) == before
        assert installed_revision(main_app_database_url) == "0002"
        connection.execute("DROP FUNCTION portcullis.cancel_run")
        assert migrate(main_app_database_url) == newest_revision()


def test_it_waits_for_nobody_who_uses_the_apps_tables(main_app_database_url: str) -> None:
    """Neither a report that has been reading for hours nor a migration of the app's own holds it up: it locks none of its tables."""
    with on(main_app_database_url) as reader, reader.transaction():
        for view in ("organization", "member", "session"):
            reader.execute(sql.SQL("SELECT count(*) FROM directory.{}").format(sql.Identifier(view)))
        with on(main_app_database_url) as writer, writer.transaction():
            writer.execute("LOCK TABLE app.users, app.memberships, app.sessions IN EXCLUSIVE MODE")
            assert migrate(main_app_database_url) == newest_revision()


def test_it_waits_for_no_change_of_the_apps_tables(main_app_database_url: str) -> None:
    with on(main_app_database_url) as writer, writer.transaction():
        writer.execute("ALTER TABLE app.users ADD COLUMN shoe_size integer; LOCK TABLE app.memberships, app.sessions, app.organizations")
        assert migrate(main_app_database_url) == newest_revision()


def test_nobody_waits_for_a_migration(main_app_database_url: str) -> None:
    """Not even for one that does not get on: here it is held up within its work, with all its locks, by a trigger on its first function."""
    install_up_to(main_app_database_url, "0003")
    with on(main_app_database_url) as holder, on(main_app_database_url) as app, ThreadPoolExecutor(1) as thread:
        holder.execute(HOLD)
        holder.execute("SELECT pg_advisory_lock(1)")
        migration = thread.submit(migrate, main_app_database_url)
        try:
            while not value(app, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 1"):
                assert not migration.done()
            app.execute("SET lock_timeout = '1s'")
            app.execute("ALTER TABLE app.users ADD COLUMN shoe_size integer")
            app.execute("INSERT INTO app.users (password_hash) VALUES ('hash')")
            app.execute("INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) VALUES (1, true, 1, 1)")
            assert value(app, "SELECT portcullis.gate(1, NULL, 'password')") == "none"
        finally:
            holder.execute("SELECT pg_advisory_unlock(1)")
        assert migration.result(60) == newest_revision()


HOLD = """
    CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); END';
    CREATE EVENT TRIGGER hold ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION public.hold()
"""


def test_a_lock_that_is_not_to_be_had_is_given_up_in_words(main_app_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 2)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(migrations, "PAUSE_SECONDS", 0.1)
    with on(main_app_database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (migrations.LOCK,))
        with pytest.raises(MigrationError, match=r"another migration .* try again"):
            migrate(main_app_database_url)
        other.execute("SELECT pg_advisory_unlock(%s)", (migrations.LOCK,))
        assert migrate(main_app_database_url) == newest_revision()


def test_a_schema_that_was_made_for_us_is_used(main_app_database_url: str) -> None:
    """Where a role may not create schemas, an administrator makes one and hands it over."""
    name = main_app_database_url.rpartition("/")[2]
    role = f"migrator_{name}"
    with on(main_app_database_url) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(role)))
        try:
            admin.execute(sql.SQL("CREATE SCHEMA portcullis AUTHORIZATION {}").format(sql.Identifier(role)))
            assert migrate(re.sub("//.*@", f"//{role}:secret@", main_app_database_url)) == newest_revision()
        finally:
            admin.execute(sql.SQL("DROP SCHEMA portcullis CASCADE").format())
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_the_app_may_drop_and_change_what_the_contract_is_made_of(database_url: str) -> None:
    with on(database_url) as connection, on(database_url) as served:
        for _ in range(10):  # until its plans are kept
            assert value(served, "SELECT portcullis.gate(1, NULL, 'password')") == "none"
        before = everything(connection)
        views = dict(connection.execute("SELECT viewname::text, definition FROM pg_views WHERE schemaname = 'directory'").fetchall())
        for view in views:
            connection.execute(sql.SQL("DROP VIEW directory.{}").format(sql.Identifier(view)))
        connection.execute("ALTER TABLE app.memberships ALTER kind TYPE varchar(40)")
        for view, definition in views.items():
            query = definition.rstrip("; \n").replace("membership.kind,", "membership.kind, 'new' AS first_of_all,")
            connection.execute(sql.SQL("CREATE VIEW directory.{} AS ").format(sql.Identifier(view)) + sql.SQL(query))
        connection.execute("DROP SCHEMA directory CASCADE")
        assert everything(connection) == before, "nothing of ours went with it"
        connection.execute(contract_of_the_reference_app())
        connection.execute(LET_ROLES_IN)
        assert value(served, "SELECT portcullis.gate(1, NULL, 'password')") == "none"
        connection.execute(SMOKE)


def contract_of_the_reference_app() -> str:
    script = main_app_sql()
    return script[script.index("CREATE SCHEMA directory") : script.index("CREATE FUNCTION app.sign_in")]


@pytest.mark.parametrize("id_type", ["text"], indirect=True)
def test_the_ledger_sorts_text_ids_as_the_app_does(main_app_database_url: str) -> None:
    """By a domain that has the collation of the app's own column."""
    with on(main_app_database_url) as connection:
        recollate(connection, "C")
        migrate(main_app_database_url, member_id_type="text", organization_id_type="text")
        collations = connection.execute(
            "SELECT t.typname::text, l.collname::text FROM pg_type t JOIN pg_collation l ON l.oid = t.typcollation"
            " WHERE t.typnamespace = 'portcullis'::regnamespace AND t.typtype = 'd' ORDER BY 1"
        ).fetchall()
        assert collations == [("member_id", "C"), ("organization_id", "default")]


def recollate(connection: Sql, collation: str) -> None:
    """Give every user_id of the app another collation, as an app may have it."""
    script = main_app_sql(member_id=IdType.TEXT, organization_id=IdType.TEXT)
    connection.execute("DROP SCHEMA directory CASCADE; DROP SCHEMA app CASCADE")
    connection.execute(re.sub(r"(?m)^(    user_id +text\b)", rf'\1 COLLATE "{collation}"', script))


@pytest.fixture(scope="module")
def older_postgres_url() -> Iterator[str]:
    if not older_postgres.is_installed():
        pytest.skip(f"no PostgreSQL 15 in {older_postgres.DEBIANS}")
    with older_postgres.older_postgres() as url:
        yield url


@pytest.mark.parametrize("id_type", list(IdType))
def test_an_older_postgres_runs_every_migration_and_function(older_postgres_url: str, id_type: IdType) -> None:
    with database_on(older_postgres_url, f"smoke_{id_type}") as url, on(url) as connection:
        assert value(connection, "SHOW server_version_num") < "160000"
        connection.execute(main_app_sql(member_id=id_type, organization_id=id_type))
        assert migrate(url, member_id_type=id_type, organization_id_type=id_type) == newest_revision()
        connection.execute(SMOKE)


def test_every_statement_is_understood_by_an_older_postgres(older_postgres_url: str) -> None:
    with database_on(older_postgres_url, "statements") as url, on(url) as connection:
        connection.execute(main_app_sql())
        migrate(url)
        for path in FOLDER.iterdir():
            loaded = RangeStatement.load(path.name.removesuffix(".sql"))
            for text in {loaded.text} | {loaded.over(low, high) for low in (None, 0) for high in (None, 0)}:
                connection.execute(f"PREPARE it AS {text}".encode(), prepare=False)
                connection.execute("DEALLOCATE it", prepare=False)


def test_no_member_falls_between_two_ranges_whatever_the_collation(older_postgres_url: str) -> None:
    """a < B in the app's collation, B < a in the database's: both must cut and find the same ranges."""
    with database_on(older_postgres_url, "collation") as url, on(url) as connection:
        connection.execute("CREATE SCHEMA app; CREATE SCHEMA directory")
        recollate(connection, "und-x-icu")
        migrate(url, member_id_type="text", organization_id_type="text")
        connection.execute("INSERT INTO app.organizations VALUES ('o', 'Kestrel')")
        for user_id in "aBcDeF":
            connection.execute("INSERT INTO app.users (user_id, password_hash) VALUES (%s, 'hash')", (user_id,))
            connection.execute("SELECT app.join_organization('o', %s)", (user_id,))
        connection.execute(
            "INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state)"
            " SELECT 1, 'notice', user_id, 1, 'unprotected', 'owed' FROM directory.member"
        )
        in_the_view = connection.execute("SELECT user_id FROM directory.member WHERE user_id >= 'B'::portcullis.member_id ORDER BY 1")
        in_the_ledger = connection.execute("SELECT member_id FROM portcullis.delivery WHERE member_id >= 'B' ORDER BY 1")
        assert in_the_view.fetchall() == in_the_ledger.fetchall() == [("B",), ("c",), ("D",), ("e",), ("F",)]


@contextmanager
def database_on(server: str, name: str) -> Iterator[str]:
    with on(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server.rpartition("/")[0] + f"/{name}"
