"""The Python client against PostgreSQL, for each type that ids may have: what it returns, what it raises, and whose transaction it uses."""

import ast
import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from jobs import client
from jobs.client import (
    Batches,
    Connection,
    Id,
    Letters,
    MalformedId,
    NotAMember,
    NotCompliant,
    NothingToLift,
    NoTransaction,
    PreviewRow,
    Requirement,
    RunIsOver,
    RunStage,
    RunState,
    UnknownOrganization,
    UnknownRun,
    Verdict,
    Verdicts,
    WrongIsolation,
    cancel_run,
    gate,
    lift_second_factor,
    preview_second_factor,
    require_second_factor,
    run_status,
    sign_in_requirement,
)
from tests.integration.main_app_people import a_member, an_admin, an_organization
from workers.demo.main_app import IdType

EVERY_ID_TYPE = pytest.mark.parametrize("id_type", list(IdType), indirect=True)


def another_id(id_type: IdType) -> Id:
    """An id of the right type that nobody has."""
    ids: dict[IdType, Id] = {IdType.UUID: uuid4(), IdType.TEXT: "nobody"}
    return ids.get(id_type, 999_999)


async def require(db: Connection, organization_id: Id, admin: Id) -> int:
    return await require_second_factor(db, organization_id, requested_by=admin, reason="audit")


@EVERY_ID_TYPE
async def test_a_switch_from_preview_to_lift(db: asyncpg.Connection, id_type: IdType) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    user_id = await a_member(db, organization_id, sessions=["password", "sso"])
    assert await preview_second_factor(db, organization_id) == [
        PreviewRow(verdict=Verdict.UNPROTECTED, kind="employee", members=1, sessions=1),
        PreviewRow(verdict=Verdict.PROTECTED, kind="employee", members=1, sessions=0),
    ]
    assert await gate(db, user_id, organization_id, started_with="password") is Requirement.NONE

    run_id = await require(db, organization_id, admin)
    assert await require(db, organization_id, admin) == run_id
    for where in (organization_id, None):
        assert await gate(db, user_id, where, started_with="password") is Requirement.SECOND_FACTOR_SETUP
        assert await gate(db, user_id, where, started_with="sso") is Requirement.NONE
    assert await gate(db, admin, organization_id, started_with="password") is Requirement.NONE
    async with db.transaction():
        assert await sign_in_requirement(db, user_id, started_with=None) is Requirement.SECOND_FACTOR_SETUP

    status = await run_status(db, run_id)
    as_in_json = organization_id if isinstance(organization_id, int) else str(organization_id)
    assert (status.run_id, status.organization_id, status.epoch, status.reason) == (run_id, as_in_json, 1, "audit")
    assert (status.state, status.stage) == (RunState.RUNNING, RunStage.PLAN)
    assert status.requested_at.tzinfo is not None

    await lift_second_factor(db, organization_id, requested_by=admin, reason="over")
    assert await gate(db, user_id, organization_id, started_with="password") is Requirement.NONE
    lifted = await run_status(db, run_id)
    assert (lifted.state, lifted.stopped_because) == (RunState.CANCELLED, "lifted")
    assert lifted.finished_at is not None


@EVERY_ID_TYPE
async def test_every_refusal_has_its_type_its_message_and_its_hint(db: asyncpg.Connection, id_type: IdType) -> None:
    organization_id = await an_organization(db)
    admin, unprotected = await an_admin(db, organization_id), await a_member(db, organization_id)
    inactive = await a_member(db, organization_id, factor=True, active=False)
    nobody = another_id(id_type)
    for call, expected, word in (
        (preview_second_factor(db, nobody), UnknownOrganization, str(nobody)),
        (require(db, nobody, admin), UnknownOrganization, str(nobody)),
        (require(db, organization_id, nobody), NotAMember, str(nobody)),
        (require(db, organization_id, inactive), NotAMember, str(inactive)),
        (require(db, organization_id, unprotected), NotCompliant, str(unprotected)),
        (lift_second_factor(db, organization_id, requested_by=admin, reason=None), NothingToLift, str(organization_id)),
        (run_status(db, 7_777), UnknownRun, "7777"),
        (cancel_run(db, 7_777, reason=None), UnknownRun, "7777"),
    ):
        with pytest.raises(expected) as raised:
            await call
        assert word in raised.value.message
        assert raised.value.hint
        assert raised.value.hint in str(raised.value)
    assert await db.fetchval("SELECT count(*) FROM portcullis.policy") == 0


async def test_a_cancelled_run_is_over(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    run_id = await require(db, organization_id, admin := await an_admin(db, organization_id))
    await cancel_run(db, run_id, reason="wrong day")
    assert (await run_status(db, run_id)).stopped_because == "wrong day"
    with pytest.raises(RunIsOver):
        await cancel_run(db, run_id, reason="again")
    assert await require(db, organization_id, admin) > run_id


async def test_exempted_kinds_are_exempt(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    admin, robot = await an_admin(db, organization_id), await a_member(db, organization_id, kind="service")
    assert [row.verdict for row in await preview_second_factor(db, organization_id, exempt_kinds=["service"])] == [
        Verdict.PROTECTED,
        Verdict.EXEMPT,
    ]
    await require_second_factor(db, organization_id, requested_by=admin, reason=None, exempt_kinds=["service"])
    assert await gate(db, robot, organization_id, started_with="token") is Requirement.NONE


async def test_an_organization_without_members_previews_as_nobody(db: asyncpg.Connection) -> None:
    assert await preview_second_factor(db, await an_organization(db)) == []


async def test_nothing_stays_when_the_apps_transaction_is_rolled_back(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    transaction = db.transaction()
    await transaction.start()
    run_id = await require(db, organization_id, admin)
    await transaction.rollback()
    with pytest.raises(UnknownRun):
        await run_status(db, run_id)


async def test_a_sign_in_outside_a_transaction_is_refused(db: asyncpg.Connection) -> None:
    with pytest.raises(NoTransaction):
        await sign_in_requirement(db, 1, started_with="password")


async def test_a_sign_in_on_an_old_snapshot_is_refused(db: asyncpg.Connection) -> None:
    with pytest.raises(WrongIsolation) as raised:
        async with db.transaction(isolation="repeatable_read"):
            await sign_in_requirement(db, 1, started_with="password")
    assert "REPEATABLE READ" in raised.value.message


async def test_a_switch_waits_for_the_sign_in_that_asked(db: asyncpg.Connection, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id)
    login = await asyncpg.connect(database_url)
    try:
        transaction = login.transaction()
        await transaction.start()
        assert await sign_in_requirement(login, user_id, started_with="password") is Requirement.NONE
        switch = asyncio.create_task(require(db, organization_id, admin))
        await asyncio.sleep(0.2)
        assert not switch.done()
        await transaction.commit()
        assert await asyncio.wait_for(switch, 5)
    finally:
        await login.close()


async def test_it_works_on_a_connection_of_a_pool_with_a_json_codec_of_its_own(db: asyncpg.Connection, database_url: str) -> None:
    organization_id = await an_organization(db)
    run_id = await require(db, organization_id, await an_admin(db, organization_id))

    async def decode_in_the_apps_way(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=lambda text: ("app", text))

    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=1, init=decode_in_the_apps_way) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        assert (await run_status(connection, run_id)).run_id == run_id


@pytest.mark.parametrize(("id_type", "given"), [(IdType.BIGINT, "seven"), (IdType.UUID, "seven"), (IdType.TEXT, 7)], indirect=["id_type"])
async def test_an_id_of_the_wrong_type_is_named_so(db: asyncpg.Connection, given: Any) -> None:
    with pytest.raises(MalformedId):
        await gate(db, given, None, started_with="password")


async def test_other_errors_stay_asyncpgs_own(main_app_database_url: str) -> None:
    not_installed = await asyncpg.connect(main_app_database_url)
    try:
        with pytest.raises(asyncpg.InvalidSchemaNameError):
            await gate(not_installed, 1, None, started_with="password")
    finally:
        await not_installed.close()


async def test_the_counters_of_a_finished_batch_are_read(db: asyncpg.Connection) -> None:
    organization_id = await an_organization(db)
    run_id = await require(db, organization_id, await an_admin(db, organization_id))
    await db.execute(
        "INSERT INTO portcullis.batch"
        " (run_id, stage, state, done_at, members, unprotected, protected, sso, exempt, inactive, sessions_ended)"
        " VALUES ($1, 'enforce', 'done', now(), 15, 5, 4, 3, 2, 1, 9)",
        run_id,
    )
    await db.execute(
        "INSERT INTO portcullis.batch"
        " (run_id, stage, state, error, owed, sending, deferred, accepted, refused, uncertain, suppressed, cancelled, last_letter_at)"
        " VALUES ($1, 'notice', 'dead', 'no such relay', 1, 2, 3, 4, 5, 6, 7, 8, now())",
        run_id,
    )
    status = await run_status(db, run_id)
    assert (status.members, status.sessions_ended) == (15, 9)
    assert status.verdicts == Verdicts(unprotected=5, protected=4, sso=3, exempt=2, inactive=1)
    assert status.letters == Letters(owed=1, sending=2, deferred=3, accepted=4, refused=5, uncertain=6, suppressed=7, cancelled=8)
    assert status.batches == Batches(open=1, done=1, dead=1)
    assert status.last_session_ended_at is not None
    assert status.last_letter_at is not None
    assert "no such relay" in status.errors[0]


async def test_every_sqlstate_that_the_schema_raises_has_a_type(db: asyncpg.Connection) -> None:
    raised = await db.fetch(
        "SELECT DISTINCT m[1] AS state FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'portcullis',"
        " regexp_matches(p.prosrc, '''(PC\\d{3})''', 'g') m"
    )
    assert {row["state"] for row in raised} == set(client.BY_SQLSTATE)


def test_the_file_can_be_copied_into_an_app() -> None:
    tree = ast.parse(Path(client.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not {name for name in imported if name and name.startswith(("jobs", "workers"))}
