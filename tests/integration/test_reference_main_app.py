"""The reference main app keeps its side of the contract, for every type of id."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from workers.demo.main_app import IdType, main_app_sql

EVERY_ID_TYPE = pytest.mark.parametrize("id_type", list(IdType), indirect=True)


@pytest.fixture
async def app(main_app_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The main app alone: what Portcullis is told must not depend on Portcullis."""
    connection = await asyncpg.connect(main_app_database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def an_organization(app: asyncpg.Connection, name: str = "Kestrel") -> Any:
    return await app.fetchval("INSERT INTO app.organizations (name) VALUES ($1) RETURNING organization_id", name)


async def a_member(app: asyncpg.Connection, organization_id: Any, *, password: str | None = "hash", kind: str = "employee") -> Any:
    user_id = await app.fetchval("INSERT INTO app.users (email, password_hash) VALUES ('a@example.com', $1) RETURNING user_id", password)
    await app.execute("SELECT app.join_organization($1, $2, $3)", organization_id, user_id, kind)
    return user_id


async def a_session(app: asyncpg.Connection, user_id: Any, started_with: str | None = "password", **columns: Any) -> int:
    names = ["user_id", "started_with", *columns]
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    statement = f"INSERT INTO app.sessions ({', '.join(names)}) VALUES ({places}) RETURNING session_id"
    return int(await app.fetchval(statement, user_id, started_with, *columns.values()))


async def live(app: asyncpg.Connection) -> set[int]:
    return {row["session_id"] for row in await app.fetch("SELECT session_id FROM app.sessions WHERE ended_at IS NULL")}


async def end(app: asyncpg.Connection, organization_id: Any, *user_ids: Any, keep_sso: bool = True) -> dict[Any, int]:
    rows = await app.fetch("SELECT user_id, ended FROM directory.end_sessions($1, $2, $3)", organization_id, list(user_ids), keep_sso)
    return {row["user_id"]: row["ended"] for row in rows}


@EVERY_ID_TYPE
async def test_the_views_carry_the_native_type_of_the_ids(app: asyncpg.Connection, id_type: IdType) -> None:
    types = await app.fetch(
        "SELECT DISTINCT data_type FROM information_schema.columns"
        " WHERE table_schema = 'directory' AND column_name IN ('user_id', 'organization_id')"
    )
    assert [row["data_type"] for row in types] == [id_type]


@EVERY_ID_TYPE
async def test_ending_sessions_twice_ends_each_once(app: asyncpg.Connection, id_type: IdType) -> None:
    organization_id = await an_organization(app)
    user_id, idle = await a_member(app, organization_id), await a_member(app, organization_id)
    await a_session(app, user_id)
    await a_session(app, user_id)
    assert await end(app, organization_id, user_id, idle) == {user_id: 2}
    assert await end(app, organization_id, user_id, idle) == {}


async def test_members_and_organizations_may_have_ids_of_different_types(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(main_app_sql(member_id=IdType.UUID, organization_id=IdType.TEXT))
        organization_id = await an_organization(connection)
        user_id = await a_member(connection, organization_id)
        await a_session(connection, user_id)
        assert await end(connection, organization_id, user_id) == {user_id: 1}
    finally:
        await connection.close()


async def test_sessions_of_the_account_and_of_this_organization_end_and_those_of_another_stay(app: asyncpg.Connection) -> None:
    ours, theirs = await an_organization(app), await an_organization(app, "Osprey")
    user_id = await a_member(app, ours)
    for_account = await a_session(app, user_id)
    for_ours = await a_session(app, user_id, organization_id=ours)
    for_theirs = await a_session(app, user_id, organization_id=theirs)
    assert await end(app, ours, user_id) == {user_id: 2}
    assert await live(app) == {for_theirs}
    assert {for_account, for_ours, for_theirs} > await live(app)


async def test_sso_sessions_are_kept_on_request_and_unknown_origin_counts_as_password(app: asyncpg.Connection) -> None:
    organization_id = await an_organization(app)
    user_id = await a_member(app, organization_id)
    by_sso = await a_session(app, user_id, "sso")
    await a_session(app, user_id, None)
    await a_session(app, user_id, "remember_me")
    assert await end(app, organization_id, user_id, keep_sso=True) == {user_id: 2}
    assert await live(app) == {by_sso}
    assert await end(app, organization_id, user_id, keep_sso=False) == {user_id: 1}


async def test_a_session_for_enrolment_is_neither_listed_nor_ended(app: asyncpg.Connection) -> None:
    organization_id = await an_organization(app)
    user_id = await a_member(app, organization_id)
    enrolling = await a_session(app, user_id, restricted_to_enrolment=True)
    assert await app.fetchval("SELECT count(*) FROM directory.session") == 0
    assert await end(app, organization_id, user_id, keep_sso=False) == {}
    assert await live(app) == {enrolling}


async def test_only_live_sessions_are_listed(app: asyncpg.Connection) -> None:
    user_id = await a_member(app, await an_organization(app))
    session_id, signed_out, expired = [await a_session(app, user_id) for _ in range(3)]
    await app.execute("UPDATE app.sessions SET ended_at = now() WHERE session_id = $1", signed_out)
    await app.execute("UPDATE app.sessions SET expires_at = now() WHERE session_id = $1", expired)
    assert [row["session_id"] for row in await app.fetch("SELECT session_id FROM directory.session")] == [session_id]


async def facts(app: asyncpg.Connection, user_id: Any) -> tuple[bool, bool, bool, bool]:
    row = await app.fetchrow("SELECT has_password, has_sso, has_second_factor, is_active FROM directory.member WHERE user_id = $1", user_id)
    return tuple(row)


async def test_a_factor_counts_once_it_is_confirmed(app: asyncpg.Connection) -> None:
    user_id = await a_member(app, await an_organization(app))
    await app.execute("SELECT app.start_second_factor($1)", user_id)
    assert await facts(app, user_id) == (True, False, False, True)
    await app.execute("SELECT app.confirm_second_factor($1)", user_id)
    assert await facts(app, user_id) == (True, False, True, True)
    await app.execute("SELECT app.remove_second_factor($1)", user_id)
    assert await facts(app, user_id) == (True, False, False, True)


async def test_confirming_a_factor_ends_every_other_session_and_frees_the_one_that_enrolled(app: asyncpg.Connection) -> None:
    user_id = await a_member(app, await an_organization(app))
    await a_session(app, user_id)
    enrolling = await a_session(app, user_id, restricted_to_enrolment=True)
    await app.execute("SELECT app.confirm_second_factor($1, $2)", user_id, enrolling)
    assert await live(app) == {enrolling}
    assert await app.fetchval("SELECT count(*) FROM directory.session") == 1


async def test_a_move_to_sso_takes_the_password_away(app: asyncpg.Connection) -> None:
    user_id = await a_member(app, await an_organization(app))
    await app.execute("SELECT app.move_to_sso($1)", user_id)
    assert await facts(app, user_id) == (False, True, False, True)


async def test_leaving_ends_the_sessions_of_that_organization_only(app: asyncpg.Connection) -> None:
    organization_id = await an_organization(app)
    user_id = await a_member(app, organization_id)
    await a_session(app, user_id, organization_id=organization_id)
    for_account = await a_session(app, user_id)
    await app.execute("SELECT app.leave_organization($1, $2)", organization_id, user_id)
    assert await live(app) == {for_account}
    assert await app.fetchval("SELECT count(*) FROM directory.member") == 0


async def test_who_is_deactivated_is_signed_out_and_listed_as_inactive(app: asyncpg.Connection) -> None:
    user_id = await a_member(app, await an_organization(app))
    await a_session(app, user_id)
    await app.execute("SELECT app.deactivate($1)", user_id)
    assert await live(app) == set()
    assert await facts(app, user_id) == (True, False, False, False)


@EVERY_ID_TYPE
async def test_facts_are_never_computed_over_everybody(app: asyncpg.Connection, id_type: IdType) -> None:
    """Not even under a generic plan, which guesses that a batch is large."""
    await app.execute(f"""
        INSERT INTO app.organizations (name) VALUES ('Kestrel');
        INSERT INTO app.users (email) SELECT 'a@example.com' FROM generate_series(1, 20000);
        INSERT INTO app.memberships SELECT organization_id, user_id FROM app.organizations, app.users;
        INSERT INTO app.identities SELECT 'p', user_id::text, user_id FROM app.users LIMIT 5000;
        INSERT INTO app.second_factors SELECT user_id FROM app.users LIMIT 5000;
        ANALYZE;
        SET plan_cache_mode = force_generic_plan;
        PREPARE batch ({id_type}, {id_type}) AS
            SELECT * FROM directory.member WHERE user_id >= $1 AND user_id < $2;
    """)
    low, high = await app.fetchrow("SELECT min(user_id::text), max(user_id::text) FROM app.users")
    plan = "\n".join(row[0] for row in await app.fetch(f"EXPLAIN EXECUTE batch ('{low}', '{high}')"))
    assert "Seq Scan on identities" not in plan
    assert "Seq Scan on second_factors" not in plan


async def test_ending_an_organizations_sessions_mostly_touches_no_index(app: asyncpg.Connection) -> None:
    """What `fillfactor` is for: a page has room for the new version of every row in it."""
    organization_id = await an_organization(app)
    await app.execute("INSERT INTO app.users (email) SELECT 'a@example.com' FROM generate_series(1, 2000)")
    await app.execute("INSERT INTO app.sessions (user_id, started_with) SELECT user_id, 'password' FROM app.users, generate_series(1, 2)")
    users = [row["user_id"] for row in await app.fetch("SELECT user_id FROM app.users")]
    async with app.transaction():
        assert sum((await end(app, organization_id, *users)).values()) == 4000
        updated, hot = await app.fetchrow("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'sessions'")
    assert updated == 4000
    assert hot > 0.9 * updated


async def test_whoever_signs_in_under_a_requirement_may_only_enrol_until_a_factor_is_confirmed(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    admin, member = await a_member(db, organization_id), await a_member(db, organization_id)
    await db.execute("SELECT app.confirm_second_factor($1)", admin)

    before = await db.fetchrow("SELECT * FROM app.sign_in($1, 'password')", member)
    assert await db.fetchval("SELECT app.answer($1, $2)", before["session_id"], organization_id) == "ok"

    await db.execute("SELECT portcullis.require_second_factor($1, $2, 'test')", organization_id, admin)
    assert await db.fetchval("SELECT app.answer($1, $2)", before["session_id"], organization_id) == "second_factor_setup"
    after = await db.fetchrow("SELECT * FROM app.sign_in($1, 'password')", member)
    assert after["restricted_to_enrolment"]

    await db.execute("SELECT app.confirm_second_factor($1, $2)", member, after["session_id"])
    assert await db.fetchval("SELECT app.answer($1, $2)", before["session_id"], organization_id) == "sign_in"
    assert await db.fetchval("SELECT app.answer($1, $2)", after["session_id"], organization_id) == "ok"
