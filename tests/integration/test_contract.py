"""What the main app has to offer is checked before anything is created, and whatever is missing or ill-typed is named."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.store.contract import VIEWS, ContractError
from jobs.store.ids import IdTypes, MalformedIdError, MemberId, OrganizationId
from tests.integration.switch_parts import EVERY_ID_TYPE
from workers.demo.main_app import IdType
from workers.migrations import migrate

Sql = psycopg.Connection[Any]


@pytest.fixture
def app(main_app_database_url: str) -> Iterator[Sql]:
    with psycopg.connect(main_app_database_url, autocommit=True) as connection:
        yield connection


def faults(app: Sql, id_type: str = "bigint") -> list[str]:
    """What a migration finds wrong; it must have created nothing."""
    with pytest.raises(ContractError) as raised:
        migrate(url_of(app), member_id_type=id_type, organization_id_type=id_type)
    assert not is_installed(app)
    return raised.value.faults


def url_of(app: Sql) -> str:
    info = app.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"


def is_installed(app: Sql) -> bool:
    row = app.execute("SELECT to_regnamespace('portcullis') IS NOT NULL").fetchone()
    assert row is not None
    return bool(row[0])


def redefine(app: Sql, view: str, **columns: str) -> None:
    """Define a view anew with other expressions for some columns; rows don't matter here."""
    old = app.execute(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (f"directory.{view}",),
    ).fetchall()
    expressions = {name: f"NULL::{type_}" for name, type_ in old} | columns
    app.execute(f"DROP VIEW directory.{view}")
    app.execute(f"CREATE VIEW directory.{view} AS SELECT {', '.join(f'{sql} AS {name}' for name, sql in expressions.items())}")


def define_end_sessions(app: Sql, declaration: str, kind: str = "FUNCTION") -> None:
    app.execute("DROP FUNCTION directory.end_sessions")
    app.execute(f"CREATE {kind} directory.end_sessions{declaration}")


def test_a_directory_that_is_missing_altogether_is_named_part_by_part(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as nothing:
        found = faults(nothing)
    assert len(found) == 4
    for view, columns in VIEWS.items():
        [line] = [line for line in found if line.startswith(f"view directory.{view} is missing")]
        assert all(column in line for column in columns)
    assert "directory.end_sessions(bigint, bigint[], boolean) returning rows (user_id bigint, ended bigint) is missing" in found[-1]


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_missing_view_is_named_with_what_it_needs(app: Sql, view: str) -> None:
    app.execute(f"DROP VIEW directory.{view}")
    [fault] = faults(app)
    assert fault == f"view directory.{view} is missing; it needs the columns {', '.join(VIEWS[view])}"


@pytest.mark.parametrize("view", list(VIEWS))
def test_each_missing_column_is_named(app: Sql, view: str) -> None:
    for column in VIEWS[view]:
        app.execute(f"ALTER VIEW directory.{view} RENAME COLUMN {column} TO something_else")
        assert faults(app) == [f"directory.{view} has no column {column}"]
        app.execute(f"ALTER VIEW directory.{view} RENAME COLUMN something_else TO {column}")


@pytest.mark.parametrize("view", list(VIEWS))
def test_each_column_of_the_wrong_type_is_named_with_the_right_ones(app: Sql, view: str) -> None:
    for column in VIEWS[view].keys() - {"session_id"}:
        right = {"boolean": "boolean", "text": "text", "time": "timestamp with time zone", "id": "bigint"}[kind_of(view, column)]
        redefine(app, view, **{column: "NULL::point"})
        [fault] = faults(app)
        assert fault.startswith(f"directory.{view}.{column} is point")
        assert right in fault
        redefine(app, view, **{column: f"NULL::{right}"})
    assert migrate(url_of(app)), "the right types are right"


def kind_of(view: str, column: str) -> str:
    rule = VIEWS[view][column]
    if isinstance(rule, str):
        return "id"
    return "boolean" if "boolean" in rule else "text" if "text" in rule else "time"


def test_everything_that_is_wrong_is_said_at_once(app: Sql) -> None:
    app.execute("DROP VIEW directory.session")
    app.execute("ALTER VIEW directory.member RENAME COLUMN has_sso TO sso")
    redefine(app, "organization", name="1")
    app.execute("DROP FUNCTION directory.end_sessions")
    assert len(faults(app)) == 4


def test_the_error_reads_as_a_list(app: Sql) -> None:
    app.execute("DROP VIEW directory.session")
    with pytest.raises(ContractError, match=r"does not keep the contract:\n  - view directory.session is missing"):
        migrate(url_of(app))


@EVERY_ID_TYPE
def test_each_id_type_is_accepted_as_itself_and_refused_as_another(app: Sql, id_type: IdType) -> None:
    other = next(type_ for type_ in IdType if type_ != id_type)
    found = faults(app, other)
    assert len(found) == 6, "every id of every view, and the function"
    assert all(f"--member-id-type {other}" in fault or f"--organization-id-type {other}" in fault for fault in found[:5])
    assert f"must be directory.end_sessions({other}, {other}[], boolean)" in found[5]
    assert migrate(url_of(app), member_id_type=id_type, organization_id_type=id_type)


def test_a_session_view_that_casts_its_ids_is_named(app: Sql) -> None:
    redefine(app, "session", user_id="NULL::text")
    [fault] = faults(app)
    assert "directory.session.user_id is text" in fault
    assert "a cast in the view would defeat its index" in fault


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        ("(organization_id bigint, user_ids bigint[]) RETURNS TABLE (user_id bigint, ended bigint)", "takes (bigint, bigint[])"),
        ("(a bigint, b integer[], c boolean) RETURNS TABLE (user_id bigint, ended bigint)", "takes (bigint, integer[], boolean)"),
        ("() RETURNS TABLE (user_id bigint, ended bigint)", "takes ();"),
        ("(a bigint, b bigint[], c boolean) RETURNS TABLE (user_id bigint, ended integer)", "returns TABLE(user_id bigint, ended integer)"),
        ("(a bigint, b bigint[], c boolean) RETURNS TABLE (member bigint, ended bigint)", "returns TABLE(member bigint, ended bigint)"),
        ("(a bigint, b bigint[], c boolean) RETURNS bigint", "returns bigint"),
    ],
)
def test_a_function_of_the_wrong_shape_is_named_with_the_right_one(app: Sql, declaration: str, words: str) -> None:
    define_end_sessions(app, f"{declaration} LANGUAGE plpgsql AS 'BEGIN END'")
    [fault] = faults(app)
    assert words in fault
    assert "must be directory.end_sessions(bigint, bigint[], boolean) returning rows (user_id bigint, ended bigint)" in fault


def test_a_procedure_is_no_function(app: Sql) -> None:
    define_end_sessions(app, "(a bigint, b bigint[], c boolean) LANGUAGE plpgsql AS 'BEGIN END'", kind="PROCEDURE")
    [fault] = faults(app)
    assert fault.endswith("is missing")


def test_another_function_of_that_name_does_no_harm(app: Sql) -> None:
    app.execute("CREATE FUNCTION directory.end_sessions(user_id bigint) RETURNS void LANGUAGE sql AS 'SELECT'")
    assert migrate(url_of(app))


def test_an_index_of_a_views_name_is_no_view(app: Sql) -> None:
    app.execute("CREATE TABLE directory.somewhere (organization_id bigint); CREATE INDEX other ON directory.somewhere (organization_id)")
    app.execute("DROP VIEW directory.session")
    app.execute("ALTER INDEX directory.other RENAME TO session")
    [fault] = faults(app)
    assert fault.startswith("view directory.session is missing")


def test_types_that_behave_alike_are_accepted(app: Sql) -> None:
    texts = {"email": "character varying(254)", "display_name": "character varying", "kind": "character(3)", "locale": "name"}
    redefine(app, "member", **{column: f"NULL::{type_}" for column, type_ in texts.items()})
    redefine(app, "session", started_at="NULL::timestamp", session_id="NULL::uuid")
    assert migrate(url_of(app))


def test_a_domain_counts_as_the_type_under_it_and_more_columns_do_no_harm(app: Sql) -> None:
    app.execute("CREATE DOMAIN app.email AS text CHECK (value LIKE '%@%')")
    redefine(app, "member", email="NULL::app.email", favourite_colour="'green'")
    assert migrate(url_of(app))


def test_tables_may_stand_in_for_views(app: Sql) -> None:
    app.execute("CREATE TABLE app.copy AS SELECT * FROM directory.session")
    app.execute("DROP VIEW directory.session; ALTER TABLE app.copy SET SCHEMA directory; ALTER TABLE directory.copy RENAME TO session")
    assert migrate(url_of(app))


def test_ids_of_one_kind_need_one_collation(app: Sql) -> None:
    """Otherwise no index of the one serves the other, and two that are not the database's own can't be compared at all."""
    for view in ("organization", "member", "session"):
        redefine(app, view, **{name: "''::text" for name, rule in VIEWS[view].items() if isinstance(rule, str)})
    define_end_sessions(app, "(a text, b text[], c boolean) RETURNS TABLE (user_id text, ended bigint) LANGUAGE plpgsql AS 'BEGIN END'")
    redefine(app, "session", user_id="""''::text COLLATE "POSIX" """)
    [fault] = faults(app, "text")
    assert "directory.session.user_id" in fault
    assert 'pg_catalog."POSIX"' in fault
    assert "directory.member.user_id" in fault


# Ids, as people and messages spell them.

INTEGERS = {"integer": 2**31, "bigint": 2**63}

MALFORMED: dict[str, list[object]] = {
    "integer": ["", "seven", "7.5", 7.5, None, True, "0x10", 2**31, -(2**31) - 1, "\u0667", "\uff17", "1_000", " 7", "+7", "7;DROP", b"7"],
    "bigint": ["", "seven", "1e3", None, False, 2**63, -(2**63) - 1, "2781b43a-9205-4a82-b91a-8bf79c055715"],
    "uuid": ["", "seven", 7, None, True, "12345678-1234-1234-1234-12345678901", "g" * 32],
    "text": ["", None, True, "with\0zero", "half a pair \ud800"],
}

WELL_FORMED: dict[str, list[tuple[object, object]]] = {
    "integer": [(7, 7), ("7", 7), ("007", 7), ("-7", -7), (2**31 - 1, 2**31 - 1), (-(2**31), -(2**31))],
    "bigint": [(7, 7), ("7", 7), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))],
    "uuid": [(str(UUID(int=7)), UUID(int=7)), (UUID(int=7), UUID(int=7)), ("{" + str(UUID(int=7)) + "}", UUID(int=7))],
    "text": [("usr_7", "usr_7"), (7, "7"), ("' OR 1=1 --", "' OR 1=1 --"), ("\u202eolleh", "\u202eolleh")],
}


@pytest.mark.parametrize(("type_", "given"), [(type_, given) for type_, all_ in MALFORMED.items() for given in all_])
def test_a_malformed_id_is_refused_in_words(type_: str, given: object) -> None:
    types = IdTypes(member=type_, organization=type_)
    with pytest.raises(MalformedIdError, match=f"no user id: this installation's ids are of type {type_}"):
        types.to_member(given)
    with pytest.raises(MalformedIdError, match=f"no organization id: this installation's ids are of type {type_}"):
        types.to_organization(given)


@pytest.mark.parametrize(("type_", "given", "id_"), [(type_, *pair) for type_, pairs in WELL_FORMED.items() for pair in pairs])
def test_an_id_and_its_text_are_the_same_id(type_: str, given: object, id_: object) -> None:
    types = IdTypes(member=type_, organization=type_)
    assert types.to_member(given) == MemberId(id_)
    assert types.to_organization(given) == OrganizationId(id_)
    assert types.to_member(str(id_)) == MemberId(id_)


@pytest.mark.parametrize("type_", list(INTEGERS))
@given(number=st.integers(-(2**65), 2**65))
def test_a_number_is_an_id_exactly_where_postgres_has_room_for_it(type_: str, number: int) -> None:
    types = IdTypes(member=type_, organization=type_)
    if -INTEGERS[type_] <= number < INTEGERS[type_]:
        assert types.to_member(str(number)) == MemberId(number)
    else:
        with pytest.raises(MalformedIdError):
            types.to_member(number)


@EVERY_ID_TYPE
async def test_what_is_accepted_as_an_id_postgres_takes(db: asyncpg.Connection, id_type: IdType) -> None:
    types = await IdTypes.read(db)
    assert types == IdTypes(member=id_type, organization=id_type)
    for spelled, _ in WELL_FORMED[id_type]:
        member = types.to_member(spelled)
        assert await db.fetchval("SELECT $1::portcullis.member_id", member) == member


async def test_ids_of_a_database_without_portcullis_are_asked_for_in_vain(main_app_database_url: str) -> None:
    connection = await asyncpg.connect(main_app_database_url)
    try:
        with pytest.raises(LookupError, match="portcullis migrate"):
            await IdTypes.read(connection)
    finally:
        await connection.close()
