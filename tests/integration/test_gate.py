"""The gate: every way in, every state of a member, every policy; strictest of several organizations; closed where it can't answer."""

from itertools import product
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import EVERY_ID_TYPE, cancel, gate, lift, require

Db: TypeAlias = asyncpg.Connection

NONE, SETUP = "none", "second_factor_setup"

WAYS_IN = ("password", "remember_me", "sso", "token", "oauth_refresh", None, "invitation", "recovery", "a way of the app's own", "SSO", "")

MEMBERS: dict[str, dict[str, Any]] = {
    "password": {},
    "password and SSO": {"sso": True},
    "nothing at all": {"password": False},
    "a factor": {"factor": True},
    "a factor and SSO": {"factor": True, "sso": True},
    "SSO only": {"password": False, "sso": True},
    "SSO only, and a factor": {"password": False, "sso": True, "factor": True},
    "exempt": {"kind": "service"},
    "exempt, SSO only": {"kind": "service", "password": False, "sso": True},
    "inactive": {"active": False},
}
"""Facts of a member, by what they can sign in with."""

UNPROTECTED = {"password", "password and SSO", "nothing at all"}

SSO_ONLY = {"SSO only", "SSO only, and a factor", "exempt, SSO only"}

OWN_WAYS_IN = {"password", "remember_me", "invitation", "recovery"}
"""Ways in that pass the identity provider by."""


def expected(member: str, started_with: str | None) -> str:
    if member in UNPROTECTED:
        return NONE if started_with == "sso" else SETUP
    if member in SSO_ONLY:
        return SETUP if started_with in OWN_WAYS_IN else NONE
    return NONE


async def sign_in(db: Db, user_id: Any, started_with: str | None = "password") -> str:
    return str(await db.fetchval("SELECT portcullis.sign_in_requirement($1, $2)", user_id, started_with))


async def answers(db: Db, user_id: Any, organization_id: Any, started_with: str | None) -> set[str]:
    """What the three questions say; they must agree where there is one organization."""
    return {
        await gate(db, user_id, organization_id, started_with),
        await gate(db, user_id, None, started_with),
        await sign_in(db, user_id, started_with),
    }


async def everybody(db: Db, organization_id: Any) -> dict[str, Any]:
    people = {name: await a_member(db, organization_id, **facts) for name, facts in MEMBERS.items()}
    started = await a_member(db, organization_id)
    await db.execute("SELECT app.start_second_factor($1)", started)
    return people | {"started": started}


@EVERY_ID_TYPE
@pytest.mark.survives("all workers and Redis dead while people go on", "I3")
async def test_every_way_in_of_every_member_under_every_policy(db: Db, id_type: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    people = await everybody(db, organization_id)
    cases = list(product(people.items(), WAYS_IN))

    for (_, user_id), started_with in cases:
        assert await answers(db, user_id, organization_id, started_with) == {NONE}, "nothing was ever required"

    run_id = await require(db, organization_id, admin, exempt_kinds=["service"])
    for (name, user_id), started_with in cases:
        wanted = expected("password" if name == "started" else name, started_with)
        assert await answers(db, user_id, organization_id, started_with) == {wanted}, (name, started_with)

    await cancel(db, run_id)
    for (name, user_id), started_with in cases[:20]:
        assert await answers(db, user_id, organization_id, started_with) == {expected(name, started_with)}, "a cancel changes nothing"

    await lift(db, organization_id, admin)
    for (_, user_id), started_with in cases:
        assert await answers(db, user_id, organization_id, started_with) == {NONE}, "it was lifted"


async def test_a_kind_is_exempt_only_where_the_policy_says_so(db: Db) -> None:
    organization_id = await an_organization(db)
    admin, robot = await an_admin(db, organization_id), await a_member(db, organization_id, kind="service")
    await require(db, organization_id, admin)
    assert await answers(db, robot, organization_id, "token") == {SETUP}
    await lift(db, organization_id, admin)
    await require(db, organization_id, admin, exempt_kinds=["service"])
    assert await answers(db, robot, organization_id, "token") == {NONE}


async def test_over_several_organizations_the_strictest_wins(db: Db) -> None:
    """Each has its own policy, and its own word for what the member is there."""
    strict, exempting, lifted, silent = [await an_organization(db, name) for name in ("strict", "exempting", "lifted", "silent")]
    user_id = await a_member(db, exempting, kind="contractor")
    for organization_id in (lifted, silent):
        await db.execute("SELECT app.join_organization($1, $2, 'employee')", organization_id, user_id)
    await require(db, exempting, await an_admin(db, exempting), exempt_kinds=["contractor"])
    admin = await an_admin(db, lifted)
    await require(db, lifted, admin)
    await lift(db, lifted, admin)
    assert (await gate(db, user_id), await sign_in(db, user_id)) == (NONE, NONE)

    await db.execute("SELECT app.join_organization($1, $2, 'employee')", strict, user_id)
    assert (await gate(db, user_id), await sign_in(db, user_id)) == (NONE, NONE), "it requires nothing yet"
    await require(db, strict, await an_admin(db, strict))
    assert (await gate(db, user_id), await sign_in(db, user_id)) == (SETUP, SETUP)
    assert [await gate(db, user_id, where) for where in (strict, exempting, lifted, silent)] == [SETUP, NONE, NONE, NONE]
    assert (await gate(db, user_id, started_with="sso"), await sign_in(db, user_id, "sso")) == (NONE, NONE)


async def test_leaving_and_joining_count_at_once(db: Db) -> None:
    organization_id = await an_organization(db)
    user_id = await a_member(db, organization_id)
    await require(db, organization_id, await an_admin(db, organization_id))
    assert await answers(db, user_id, organization_id, "password") == {SETUP}
    await db.execute("SELECT app.leave_organization($1, $2)", organization_id, user_id)
    assert await answers(db, user_id, organization_id, "password") == {NONE}
    await db.execute("SELECT app.join_organization($1, $2, 'employee')", organization_id, user_id)
    assert await answers(db, user_id, organization_id, "password") == {SETUP}


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ("SELECT app.confirm_second_factor($1)", SETUP, NONE),
        ("SELECT app.move_to_sso($1)", SETUP, SETUP),
        ("SELECT app.deactivate($1)", SETUP, NONE),
        ("SELECT app.start_second_factor($1)", SETUP, SETUP),
        ("UPDATE app.memberships SET kind = 'service' WHERE user_id = $1", SETUP, NONE),
    ],
)
async def test_what_changes_about_a_member_counts_at_once(db: Db, change: str, before: str, after: str) -> None:
    organization_id = await an_organization(db)
    user_id = await a_member(db, organization_id)
    await require(db, organization_id, await an_admin(db, organization_id), exempt_kinds=["service"])
    for _ in range(7):  # until the plans are kept
        assert await answers(db, user_id, organization_id, "password") == {before}
    await db.execute(change, user_id)
    assert await answers(db, user_id, organization_id, "password") == {after}


async def test_a_factor_that_is_taken_away_counts_at_once(db: Db) -> None:
    organization_id = await an_organization(db)
    user_id = await a_member(db, organization_id, factor=True)
    await require(db, organization_id, await an_admin(db, organization_id))
    assert await answers(db, user_id, organization_id, "password") == {NONE}
    await db.execute("SELECT app.remove_second_factor($1)", user_id)
    assert await answers(db, user_id, organization_id, "password") == {SETUP}


async def test_whoever_is_no_member_is_not_held_up(db: Db) -> None:
    here, there = await an_organization(db), await an_organization(db, "Heron")
    stranger = await a_member(db, there)
    await require(db, here, await an_admin(db, here))
    for who in (stranger, 999_999, None):
        assert await answers(db, who, here, "password") == {NONE}
    assert await gate(db, stranger, 999_999) == NONE


FAILING_VIEW = (
    "CREATE OR REPLACE VIEW directory.member AS SELECT m.organization_id, m.user_id, NULL::text AS email, true AS email_verified,"
    " NULL::text AS display_name, NULL::text AS locale, NULL::text AS time_zone, m.kind, true AS has_password, false AS has_sso,"
    " 1 / (m.joined_at = 'epoch')::integer = 1 AS has_second_factor, true AS is_active FROM app.memberships m"
)

OTHER_ROLE = (
    "CREATE ROLE nobody_special; GRANT USAGE ON SCHEMA portcullis, directory TO nobody_special;"
    " GRANT SELECT ON portcullis.policy TO nobody_special; SET LOCAL ROLE nobody_special"
)

BROKEN = {
    "an error in the view": (FAILING_VIEW, asyncpg.DivisionByZeroError),
    "no view": ("DROP VIEW directory.member", asyncpg.UndefinedTableError),
    "no column": ("ALTER VIEW directory.member RENAME COLUMN has_second_factor TO protected", asyncpg.UndefinedColumnError),
    "no right to read it": (OTHER_ROLE, asyncpg.InsufficientPrivilegeError),
}


@pytest.mark.parametrize("fault", list(BROKEN))
async def test_a_gate_that_cant_answer_raises(db: Db, fault: str) -> None:
    """Where it raises, nothing is served: it never says 'none' because something went wrong."""
    organization_id = await an_organization(db)
    user_id = await a_member(db, organization_id, factor=True)
    await require(db, organization_id, await an_admin(db, organization_id))
    assert await answers(db, user_id, organization_id, "password") == {NONE}
    statement, error = BROKEN[fault]
    transaction = db.transaction()
    await transaction.start()
    await db.execute(statement)
    for question, arguments in (
        ("portcullis.gate($1, $2, 'password')", (user_id, organization_id)),
        ("portcullis.gate($1, NULL, 'password')", (user_id,)),
        ("portcullis.sign_in_requirement($1, 'password')", (user_id,)),
    ):
        attempt = db.transaction()
        await attempt.start()
        with pytest.raises(error):
            await db.fetchval(f"SELECT {question}", *arguments)
        await attempt.rollback()
    await transaction.rollback()


async def test_the_gate_answers_on_a_standby_and_in_any_transaction(db: Db) -> None:
    """It writes nothing and takes no lock, so a read-only transaction will do; a sign-in is another matter."""
    organization_id = await an_organization(db)
    user_id = await a_member(db, organization_id)
    await require(db, organization_id, await an_admin(db, organization_id))
    for isolation in ("read_committed", "repeatable_read", "serializable"):
        async with db.transaction(isolation=isolation, readonly=True):
            assert await gate(db, user_id, organization_id) == SETUP
            assert await db.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
