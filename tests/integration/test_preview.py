"""What the dialog says before the switch is flipped is what the run then does."""

from collections import Counter
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import EVERY_ID_TYPE, a_session, enforce_all, live_sessions, refused, require
from tests.role_parts import LET_ROLES_IN
from workers.demo.people import OrganizationSpec, seed

CENSUS = """
    SELECT u.password_hash IS NOT NULL, EXISTS (SELECT FROM app.identities i WHERE i.user_id = u.user_id),
           EXISTS (SELECT FROM app.second_factors f WHERE f.user_id = u.user_id AND f.confirmed_at IS NOT NULL),
           u.deactivated_at IS NULL, m.kind,
           (SELECT count(*) FROM app.sessions s
            WHERE s.user_id = u.user_id AND s.ended_at IS NULL AND s.expires_at > now() AND NOT s.restricted_to_enrolment
              AND s.started_with IS DISTINCT FROM 'sso' AND coalesce(s.organization_id, m.organization_id) = m.organization_id)
    FROM app.memberships m JOIN app.users u USING (user_id) WHERE m.organization_id = $1
"""
"""Facts straight from the app's tables; the verdict is worked out below, by hand."""

Table: TypeAlias = dict[tuple[str, str | None], tuple[int, int]]


async def preview(db: asyncpg.Connection, organization_id: Any, *exempt_kinds: str) -> Table:
    rows = await db.fetch("SELECT * FROM portcullis.preview_second_factor($1, $2)", organization_id, list(exempt_kinds))
    return {(row["verdict"], row["kind"]): (row["members"], row["sessions"]) for row in rows}


async def census(db: asyncpg.Connection, organization_id: Any, *exempt_kinds: str) -> Table:
    members: Counter[tuple[str, str | None]] = Counter()
    sessions: Counter[tuple[str, str | None]] = Counter()
    for password, sso, factor, active, kind, count in await db.fetch(CENSUS, organization_id):
        verdict = (
            "inactive"
            if not active
            else "sso"
            if sso and not password
            else "protected"
            if factor
            else "exempt"
            if kind in exempt_kinds
            else "unprotected"
        )
        members[verdict, kind] += 1
        sessions[verdict, kind] += count if verdict == "unprotected" else 0
    return {key: (members[key], sessions[key]) for key in members}


@EVERY_ID_TYPE
async def test_it_says_what_the_app_says_and_what_the_run_then_does(db: asyncpg.Connection, database_url: str, id_type: str) -> None:
    here, there = await seed(
        db,
        OrganizationSpec(members=700),
        OrganizationSpec(name="Heron", domain="heron.example", members=150, shared=60),
    )
    said = await preview(db, here.organization_id)
    assert said == await census(db, here.organization_id)
    assert {verdict for verdict, _ in said} == {"unprotected", "protected", "sso", "inactive"}

    run_id = await require(db, here.organization_id, here.admin_id)
    before = await live_sessions(db)
    await enforce_all(database_url, run_id)
    status = await db.fetchval("SELECT portcullis.run_status($1)::jsonb ->> 'verdicts'", run_id)
    did = await db.fetch(
        "SELECT d.verdict, m.kind, count(*) AS members, sum(d.sessions_ended) AS sessions FROM portcullis.delivery d"
        " JOIN app.memberships m ON m.user_id = d.member_id AND m.organization_id = $2 WHERE d.run_id = $1 GROUP BY 1, 2",
        run_id,
        here.organization_id,
    )
    assert {(row["verdict"], row["kind"]): (row["members"], row["sessions"]) for row in did} == said, status
    ended = before - await live_sessions(db)
    assert len(ended) == sum(sessions for _, sessions in said.values()) > 0

    again = await preview(db, here.organization_id)
    assert {key: members for key, (members, _) in again.items()} == {key: members for key, (members, _) in said.items()}
    assert not any(sessions for _, sessions in again.values()), "nothing is left to end"
    assert await preview(db, there.organization_id) == await census(db, there.organization_id)


async def test_kinds_that_would_be_exempt_lose_nothing(db: asyncpg.Connection, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    robot = await a_member(db, organization_id, kind="service", sessions=["token", "password"])
    await a_member(db, organization_id, kind="service", factor=True)
    client = await a_member(db, organization_id, kind="client", sessions=["password"])
    assert await preview(db, organization_id) == {
        ("unprotected", "client"): (1, 1),
        ("unprotected", "service"): (1, 2),
        ("protected", "employee"): (1, 0),
        ("protected", "service"): (1, 0),
    }
    exempting = await preview(db, organization_id, "service", "contractor")
    assert exempting == await census(db, organization_id, "service", "contractor")
    assert exempting["exempt", "service"] == (1, 0)
    await enforce_all(database_url, await require(db, organization_id, admin, exempt_kinds=["service", "contractor"]))
    signed_in = {row["user_id"] for row in await db.fetch("SELECT DISTINCT user_id FROM directory.session")}
    assert robot in signed_in
    assert client not in signed_in


async def test_only_sessions_that_would_end_count(db: asyncpg.Connection) -> None:
    here, there = await an_organization(db), await an_organization(db, "Heron")
    user_id = await a_member(db, here)
    await db.execute("SELECT app.join_organization($1, $2, 'employee')", there, user_id)
    for started_with in ("password", None, "token", "remember_me"):
        await a_session(db, user_id, started_with)
    await a_session(db, user_id, "password", organization_id=here)
    for kept in (
        await a_session(db, user_id, "password", organization_id=there),
        await a_session(db, user_id, "sso"),
        await a_session(db, user_id, "password", restricted=True),
        await a_session(db, user_id, "password"),
    ):
        last = kept
    await db.execute("UPDATE app.sessions SET expires_at = now() - interval '1 second' WHERE session_id = $1", last)
    assert await preview(db, here) == {("unprotected", "employee"): (1, 5)}
    assert await preview(db, there) == {("unprotected", "employee"): (1, 5)}


async def test_rows_come_in_the_order_of_what_happens_to_people(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    for facts in ({"active": False}, {"factor": True}, {"password": False, "sso": True}, {}, {"kind": "service"}, {"kind": "client"}):
        await a_member(db, organization_id, **facts)
    rows = await db.fetch("SELECT verdict, kind FROM portcullis.preview_second_factor($1, '{service}')", organization_id)
    assert [tuple(row) for row in rows] == [
        ("unprotected", "client"),
        ("unprotected", "employee"),
        ("protected", "employee"),
        ("sso", "employee"),
        ("exempt", "service"),
        ("inactive", "employee"),
    ]


async def test_nulls_of_the_app_are_counted_as_they_are_enforced(db: asyncpg.Connection, database_url: str) -> None:
    """An app that does not know: no kind, and facts that are null."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await a_member(db, organization_id, sessions=[None])
    await db.execute(
        "CREATE OR REPLACE VIEW directory.member AS SELECT m.organization_id, m.user_id, NULL::text AS email,"
        " NULL::boolean AS email_verified, NULL::text AS display_name, NULL::text AS locale, NULL::text AS time_zone, NULL::text AS kind,"
        " NULL::boolean AS has_password,"
        " NULL::boolean AS has_sso, nullif((SELECT true FROM app.second_factors f WHERE f.user_id = m.user_id LIMIT 1), false)"
        " AS has_second_factor, NULL::boolean AS is_active FROM app.memberships m"
    )
    assert await preview(db, organization_id) == {("unprotected", None): (1, 1), ("protected", None): (1, 0)}
    await enforce_all(database_url, await require(db, organization_id, admin))
    assert await preview(db, organization_id) == {("unprotected", None): (1, 0), ("protected", None): (1, 0)}


async def test_kinds_may_be_of_another_text_type(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    await a_member(db, organization_id, kind="client")
    definition = await db.fetchval("SELECT pg_get_viewdef('directory.member')")
    for type_ in ("character varying(40)", "name", "character(6)"):
        await db.execute("DROP VIEW directory.member")
        await db.execute(f"ALTER TABLE app.memberships ALTER kind TYPE {type_}")
        await db.execute(f"CREATE VIEW directory.member AS {definition}")
        await db.execute(LET_ROLES_IN)
        assert await preview(db, organization_id, "client") == {("exempt", "client"): (1, 0)}


async def test_an_organization_without_members_is_nobody(db: asyncpg.Connection) -> None:
    assert await preview(db, await an_organization(db)) == {}


async def test_no_exempt_kinds_are_none(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    await a_member(db, organization_id, kind="service")
    [row] = await db.fetch("SELECT verdict FROM portcullis.preview_second_factor($1, NULL)", organization_id)
    assert row["verdict"] == "unprotected"
    [row] = await db.fetch("SELECT verdict FROM portcullis.preview_second_factor($1)", organization_id)
    assert row["verdict"] == "unprotected"


@pytest.mark.parametrize("unknown", [999_999, None])
async def test_an_unknown_organization_is_named(db: asyncpg.Connection, unknown: int | None) -> None:
    with refused("PC001") as refusal:
        await preview(db, unknown)
    assert refusal.message == f"There is no organization {unknown or '<NULL>'}"
    assert "directory.organization" in refusal.hint


async def test_looking_changes_nothing(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    await a_member(db, organization_id, sessions=["password"])
    async with db.transaction(readonly=True):
        assert await preview(db, organization_id)
    assert await db.fetchval("SELECT count(*) FROM portcullis.policy") == 0
