"""Roles: each may what it needs, and whatever else it tries is refused."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from jobs.store import granted
from jobs.store.roles import COLUMNS, CONTRACT, TABLES, WORDS, Role, callers
from tests.builders import a_member, an_organization
from tests.conftest import Databases
from tests.integration.cli_runner import Cli
from tests.role_parts import a_database_with_roles, acting_as
from workers.cli.exit_codes import ExitCode
from workers.migrations import migrate

OTHERS = [role for role in Role if role is not Role.OWNER]
ATTEMPTS = {
    "SELECT": "SELECT FROM portcullis.{table}",
    "INSERT": "INSERT INTO portcullis.{table} DEFAULT VALUES",
    "UPDATE": "UPDATE portcullis.{table} SET {column} = {column} WHERE false",
    "DELETE": "DELETE FROM portcullis.{table} WHERE false",
    "TRUNCATE": "TRUNCATE portcullis.{table}",
}


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with a_database_with_roles(databases) as url:
        yield url


async def may(db: asyncpg.Connection, statement: str) -> bool:
    """Try it and undo it; whatever else goes wrong than a missing right was allowed."""
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError:
        return True
    finally:
        await transaction.rollback()
    return True


async def columns(db: asyncpg.Connection) -> dict[str, str]:
    """Return a column of each table of the schema that can be written."""
    rows = await db.fetch(
        "SELECT table_name, min(column_name) FROM information_schema.columns"
        " WHERE table_schema = 'portcullis' AND is_generated = 'NEVER' AND is_identity = 'NO' GROUP BY table_name"
    )
    return {row[0]: row[1] for row in rows}


async def test_every_table_of_the_schema_has_its_line(url: str) -> None:
    async with acting_as(url, Role.OWNER) as db:
        assert set(await columns(db)) == set(TABLES)


@pytest.mark.parametrize("role", OTHERS)
async def test_each_role_may_with_each_table_what_its_line_says_and_nothing_else(url: str, role: Role) -> None:
    async with acting_as(url, Role.OWNER) as db:
        named = await columns(db)
    async with acting_as(url, role) as db:
        for table, rights in TABLES.items():
            should = {WORDS[letter] for letter in rights.get(role, "")}
            tried = {verb: sql.format(table=table, column=named[table]) for verb, sql in ATTEMPTS.items()}
            if "SELECT" not in should:  # a condition reads
                tried["UPDATE"] = f"UPDATE portcullis.{table} SET {named[table]} = DEFAULT"
                tried["DELETE"] = f"DELETE FROM portcullis.{table}"
            can = {verb for verb, sql in tried.items() if await may(db, sql)}
            of_columns = "".join(part.rights.get(role, "") for part in COLUMNS if part.table == table)
            assert can - {WORDS[letter] for letter in of_columns} == should, table  # what of some columns only is asked below


async def test_no_role_may_change_the_record(url: str) -> None:
    for role in Role:
        async with acting_as(url, role) as db:
            for table in ("audit_entry", "audit_seal", "audit_checkpoint"):
                for statement in (
                    f"UPDATE portcullis.{table} SET key_id = key_id",
                    f"DELETE FROM portcullis.{table}",
                    f"TRUNCATE portcullis.{table}",
                ):
                    with pytest.raises(asyncpg.PostgresError) as refused:
                        await db.execute(statement)
                    assert refused.value.sqlstate in {"42501", "PC009"}


@pytest.mark.parametrize("role", [Role.APP, Role.WORKER, Role.CONSOLE, Role.AUDITOR, Role.METRICS])
async def test_secrets_are_for_the_verifier_only(url: str, role: Role) -> None:
    async with acting_as(url, role) as db:
        for statement in (
            "SELECT secret FROM portcullis.factor",
            "SELECT key_id FROM portcullis.factor",
            "SELECT * FROM portcullis.factor",
            "SELECT secret FROM portcullis.pending_factor",
            "SELECT secret FROM portcullis.recovery_set",
            "SELECT digest FROM portcullis.recovery_code",
        ):
            assert not await may(db, statement), statement
    async with acting_as(url, Role.VERIFIER) as db:
        assert await may(db, "SELECT secret FROM portcullis.factor")


async def test_the_app_flips_the_switch_and_asks_the_gate_without_any_right_on_a_table(url: str) -> None:
    async with acting_as(url, Role.APP) as app:
        superuser = await asyncpg.connect(url)
        organization = await an_organization(superuser, members=2)
        await superuser.close()
        args = (organization.id, organization.admin.id)
        member = organization.members[0].id
        assert await app.fetchval("SELECT count(*) FROM portcullis.preview_second_factor($1)", organization.id) == 2
        run = await app.fetchval("SELECT portcullis.require_second_factor($1, $2, 'x')", *args)
        assert await app.fetchval("SELECT portcullis.gate($1, $2, 'password')", member, organization.id) == "second_factor_setup"
        assert await app.fetchval("SELECT portcullis.sign_in_requirement($1, 'password')", member) == "second_factor_setup"
        assert await app.fetchval("SELECT portcullis.change_second_factor($1, $2, 'x', '{client}')", *args) == run
        assert "running" in await app.fetchval("SELECT portcullis.run_status($1)", run)
        assert await app.fetchval("SELECT portcullis.has_second_factor($1)", member) is False
        assert await app.fetchval("SELECT portcullis.asks_second_factor($1)", member) is False
        await app.execute("SELECT portcullis.cancel_run($1, 'x')", run)
        await app.execute("SELECT portcullis.lift_second_factor($1, $2, 'x')", *args)
        assert not await may(app, "SELECT portcullis.stop_run(1, 'x')")
        assert not await may(app, "SELECT portcullis.write_audit(1, 'finished', '{}')")


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.METRICS])
async def test_who_only_reads_flips_no_switch(url: str, role: Role) -> None:
    async with acting_as(url, role) as db:
        for statement in (
            "SELECT portcullis.require_second_factor(1, 1, 'x')",
            "SELECT portcullis.lift_second_factor(1, 1, 'x')",
            "SELECT portcullis.cancel_run(1, 'x')",
            "SELECT portcullis.stop_run(1, 'x')",
            "SELECT portcullis.suppress(NULL, NULL, NULL, NULL, NULL)",
            "SELECT FROM directory.end_sessions(1, '{}', true)" if role is Role.METRICS else "CREATE TABLE portcullis.mine ()",
        ):
            assert not await may(db, statement), statement


async def test_nobody_else_may_even_look(url: str) -> None:
    superuser = await asyncpg.connect(url)
    await superuser.execute(
        "DO $$ BEGIN CREATE ROLE stranger NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; SET ROLE stranger"
    )
    assert not await may(superuser, "SELECT portcullis.gate(1, 1, 'password')")
    assert not await may(superuser, "SELECT FROM portcullis.run")
    await superuser.close()


async def test_a_function_of_the_contract_is_not_led_astray_by_the_callers_search_path(url: str) -> None:
    superuser = await asyncpg.connect(url)
    await superuser.execute(
        "CREATE SCHEMA trap; CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2000-01-01'::timestamptz $$"
    )
    await superuser.execute("GRANT USAGE ON SCHEMA trap TO portcullis_app")
    organization = await an_organization(superuser)
    async with acting_as(url, Role.APP) as app:
        await app.execute("SET search_path = trap, pg_catalog")
        run = await app.fetchval("SELECT portcullis.require_second_factor($1, $2, 'x')", organization.id, organization.admin.id)
    assert await superuser.fetchval("SELECT requested_at > '2001-01-01' FROM portcullis.run WHERE run_id = $1", run)
    await superuser.close()


async def test_migrating_again_changes_nothing_and_mends_what_was_changed(url: str) -> None:
    async with acting_as(url, Role.OWNER) as db:
        assert await granted.find_faults(db) == []
        await db.execute("GRANT UPDATE ON portcullis.audit_entry TO portcullis_worker")
        await db.execute("REVOKE SELECT ON portcullis.run FROM portcullis_auditor")
        await db.execute("ALTER FUNCTION portcullis.gate SECURITY INVOKER")
        faults = await granted.find_faults(db)
    assert faults == [
        "SELECT on run for portcullis_auditor is missing",
        "UPDATE on audit_entry for portcullis_worker is too much",
        "the function gate does not run with its owner's rights",
    ]
    await asyncio.to_thread(migrate, url)
    async with acting_as(url, Role.OWNER) as db:
        assert await granted.find_faults(db) == []


async def test_roles_come_to_an_installation_that_had_none(
    main_app_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": main_app_database_url})
    assert (await cli("migrate")).code is ExitCode.OK
    told = await cli("migrate", "--roles", "--json")
    assert told.code is ExitCode.OK, told.err
    assert told.document["left_to_run"] == ["ALTER FUNCTION directory.end_sessions SECURITY DEFINER"]
    async with acting_as(main_app_database_url, Role.WORKER) as db:
        assert await may(db, "SELECT FROM portcullis.batch")
        assert not await may(db, "SELECT FROM portcullis.recovery_set")
    doctor = await cli("doctor", "--json")
    (said,) = [finding for finding in doctor.document["findings"] if finding["subject"] == "roles"]
    assert "SECURITY DEFINER" in said["to_do"]


async def test_who_may_call_a_function_that_is_not_theirs_and_who_may_not_call_theirs_is_told(url: str) -> None:
    async with acting_as(url, Role.OWNER) as db:
        await db.execute("GRANT EXECUTE ON FUNCTION portcullis.forget_members TO portcullis_console")
        await db.execute("REVOKE EXECUTE ON FUNCTION portcullis.gate FROM portcullis_app")
        await db.execute("GRANT EXECUTE ON FUNCTION portcullis.stop_run TO PUBLIC")
        assert await granted.find_faults(db) == [
            "EXECUTE on gate(member_id,organization_id,text) for portcullis_app is missing",
            "EXECUTE on forget_members(interval,integer) for portcullis_console is too much",
            "anybody may call the function stop_run",
        ]
    await asyncio.to_thread(migrate, url)
    async with acting_as(url, Role.OWNER) as db:
        assert await granted.find_faults(db) == []


@pytest.mark.parametrize("role", OTHERS)
async def test_each_role_may_call_the_functions_that_are_its_own_and_no_other(url: str, role: Role) -> None:
    async with acting_as(url, role) as db:
        rows = await db.fetch(
            "SELECT p.proname, has_function_privilege(p.oid, 'EXECUTE') AS may"
            " FROM pg_proc p WHERE p.pronamespace = 'portcullis'::regnamespace"
        )
    assert {row["proname"] for row in rows if row["may"]} == {row["proname"] for row in rows if role in callers(row["proname"])}


async def test_only_the_worker_forgets_members(url: str) -> None:
    for role in OTHERS:
        async with acting_as(url, role) as db:
            assert await may(db, "SELECT FROM portcullis.forget_members('400 days', 1)") is (role is Role.WORKER)


async def test_whoever_rotates_may_put_what_is_sealed_under_another_key_and_nothing_else(url: str) -> None:
    async with acting_as(url, Role.ROTATOR) as db:
        for table in ("factor", "pending_factor", "recovery_set", "operator"):
            assert await may(db, f"UPDATE portcullis.{table} SET secret = secret, key_id = key_id"), table
            assert not await may(db, f"DELETE FROM portcullis.{table}"), table
            assert not await may(db, f"SELECT * FROM portcullis.{table}"), table
        for statement in (
            "UPDATE portcullis.factor SET user_id = user_id",
            "UPDATE portcullis.operator SET role = 'operator'",
            "SELECT password_hash FROM portcullis.operator",
            "SELECT digest FROM portcullis.recovery_code",
            "SELECT FROM portcullis.delivery",
            "SELECT FROM directory.member",
        ):
            assert not await may(db, statement), statement


async def test_an_administrator_who_is_no_superuser_makes_them_too(main_app_database_url: str) -> None:
    superuser = await asyncpg.connect(main_app_database_url)
    name = f"administrator_{main_app_database_url.rpartition('/')[2]}"
    await superuser.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'x'")
    try:
        await superuser.execute("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO " + name + "', current_database()); END $$")
        there = await superuser.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", [role.sql_name for role in Role])
        for (role,) in there:  # for another database on this server, made by somebody else
            await superuser.execute(f"GRANT {role} TO {name} WITH ADMIN OPTION")
        parts = urlsplit(main_app_database_url)
        url = urlunsplit(parts._replace(netloc=f"{name}:x@{parts.netloc.rpartition('@')[2]}"))
        for _ in range(2):
            await asyncio.to_thread(migrate, url, member_id_type="bigint", organization_id_type="bigint", with_roles=True)
        assert await granted.find_faults(superuser) == []
        assert len(await granted.find_left(superuser)) == 3
    finally:
        await superuser.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}")
        await superuser.close()


def test_every_function_of_the_contract_is_named_once() -> None:
    assert len(set(CONTRACT)) == len(CONTRACT)


async def test_somebody_of_another_organization_is_no_business_of_the_metrics(url: str) -> None:
    superuser = await asyncpg.connect(url)
    organization = await an_organization(superuser)
    await a_member(superuser, organization.id)
    await superuser.close()
    async with acting_as(url, Role.METRICS) as db:
        assert not await may(db, "SELECT FROM portcullis.delivery")
        assert not await may(db, "SELECT FROM directory.member")
