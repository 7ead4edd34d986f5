"""A whole run, and what people do beside it, with each process in its own role. `PORTCULLIS_TEST_ROLES=1` runs every test so."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from jobs import client, retention
from jobs.audit import checkpoints, sealing
from jobs.audit.verification import Trust, verify
from jobs.audit.watch import Auditor
from jobs.keys import Purpose
from jobs.store.database import open_pool, read_json
from jobs.store.roles import Role
from tests.builders import a_member, an_organization
from tests.conftest import Databases
from tests.integration.cli_runner import Cli
from tests.pipeline.test_prove import KEYS
from tests.pipeline.world import RING, World, a_world
from tests.role_parts import a_database_with_roles, acting_as, as_role
from workers.cli.exit_codes import ExitCode


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with a_database_with_roles(databases) as url:
        yield url


@pytest.fixture
async def world(url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(url, redis_url, roles=True) as world:
        yield world
        assert await world.violations() == []


async def a_run(world: World) -> int:
    organization = await an_organization(world.db, members=3)
    await a_member(world.db, organization.id, factor=True)
    await a_member(world.db, organization.id, email="nobody at all")
    run = await world.require(organization)
    await world.run_to_end(run)
    return run


async def test_a_run_is_done_by_a_worker_for_an_app_that_may_touch_nothing(world: World) -> None:
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.audit_entry") == 0
    status = await world.status(await a_run(world))
    assert (status["state"], status["sessions_ended"]) == ("done", 4)
    assert await world.pool.fetchval("SELECT current_user") == Role.WORKER.sql_name


async def test_it_is_lifted_and_cancelled(world: World) -> None:
    organization = await an_organization(world.db, members=2)
    await world.run_to_end(await world.require(organization))
    await world.lift(organization)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    await world.run_to_end(run)


async def test_a_worker_seals_and_signs_and_an_auditor_verifies_and_watches(world: World, url: str) -> None:
    await a_run(world)
    async with world.pool.acquire() as worker:
        assert (await sealing.seal(worker, RING.current(Purpose.AUDIT)))[0] > 0
        assert await checkpoints.sign(worker, RING) is not None
    async with acting_as(url, Role.AUDITOR) as auditor:
        await read_json(auditor)
        assert (await verify(auditor, Trust.in_ring(RING))).finding is None
    pool = await open_pool(as_role(url, Role.AUDITOR), size=1)
    assert [result for result in await Auditor(pool).look() if result.found] == []
    await pool.close()


async def test_the_command_line_needs_no_more_than_a_worker(
    world: World, url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await a_run(world)
    async with world.pool.acquire() as worker:
        await sealing.seal(worker, RING.current(Purpose.AUDIT))
        await checkpoints.sign(worker, RING)
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": as_role(url, Role.WORKER), "PORTCULLIS_KEYS": KEYS, "REDIS_URL": redis_url})
    for command in (["prove", run], ["audit", "verify"], ["status", run], ["runs"], ["queues"], ["dead", "list"], ["actions"]):
        told = await cli(*command)
        assert told.code is ExitCode.OK, (command, told.err)


async def test_the_auditor_may_prove_nothing_away(world: World, url: str) -> None:
    await a_run(world)
    async with acting_as(url, Role.AUDITOR) as auditor:
        for statement in ("DELETE FROM portcullis.batch", "UPDATE portcullis.run SET state = 'done'", "SELECT portcullis.stop_run(1, 'x')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await auditor.execute(statement)


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.AUDITOR, ["enforce", "1", "--as", "1", "--reason", "x"]),
        (Role.AUDITOR, ["erase", "4711", "--reason", "x"]),
        (Role.AUDITOR, ["pause", "--letters", "--reason", "x"]),
        (Role.APP, ["audit", "verify"]),
        (Role.APP, ["runs"]),
        (Role.METRICS, ["prove", "1"]),
        (Role.METRICS, ["cancel", "1", "--reason", "x"]),
        (Role.WORKER, ["operators", "list"]),
        (Role.VERIFIER, ["audit", "verify"]),
        (Role.ROTATOR, ["lift", "1", "--as", "1", "--reason", "x"]),
    ],
    ids=lambda value: value if isinstance(value, Role) else " ".join(value),
)
async def test_a_role_that_may_not_is_told_so_and_nothing_is_done(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, role: Role, command: list[str]
) -> None:
    run = await a_run(world)
    before = [await world.db.fetch(f"SELECT * FROM portcullis.{table}") for table in ("policy", "run", "pause", "action", "audit_entry")]
    told = await Cli(monkeypatch, capsys, {"DATABASE_URL": as_role(url, role), "PORTCULLIS_KEYS": KEYS})(*command, "--json")
    assert (run, told.code, told.document["error"]["name"]) == (1, ExitCode.NOT_SET_UP, "not_allowed"), told.out
    assert "permission denied" in told.document["error"]["what"]
    after = [await world.db.fetch(f"SELECT * FROM portcullis.{table}") for table in ("policy", "run", "pause", "action", "audit_entry")]
    assert after == before


async def test_the_app_erases_and_the_worker_forgets_though_neither_may_delete(world: World) -> None:
    run = await a_run(world)
    await world.look()
    member = await world.db.fetchval("SELECT member_id FROM portcullis.delivery WHERE verdict = 'unprotected' LIMIT 1")
    rows = await world.db.fetch("SELECT *, member_id::text AS member FROM portcullis.delivery WHERE member_id = $1", member)
    await world.db.execute("DELETE FROM app.memberships WHERE user_id = $1", member)
    assert (await client.erase_member(world.app, member, reason="asked for it"))["ledger_rows"] == 1
    world.history.erased += [dict(row) for row in rows]
    for statement in ("DELETE FROM portcullis.delivery", "DELETE FROM portcullis.erased"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await world.pool.execute(statement)
    assert not await retention.forget(world.pool, 400)
    await world.db.execute("UPDATE portcullis.run SET finished_at = now() - interval '500 days' WHERE run_id = $1", run)
    async with world.pool.acquire() as worker:
        transaction = worker.transaction()
        await transaction.start()
        assert (await worker.fetchrow("SELECT * FROM portcullis.forget_members('400 days', 100)"))["is_through"]
        await transaction.rollback()  # the checker wants to see the ledger
