"""The auditor sees each invariant that a query can see broken, finds nothing where nothing is, and changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from jobs.audit.reading import Reading
from jobs.audit.verification import Trust, verify
from jobs.audit.watch import QUERIES, Auditor
from jobs.store import audit
from jobs.store.database import open_pool
from jobs.store.roles import Role
from tests.builders import a_member, a_session, an_organization
from tests.conftest import UNDER_ROLES, Databases
from tests.integration.cli_runner import Cli
from tests.pipeline.test_audit_verify import sealed
from tests.pipeline.world import RING, World, a_world
from tests.role_parts import a_database_with_roles, acting_as, as_role
from workers.cli.exit_codes import ExitCode

RUN = "(SELECT max(run_id) FROM portcullis.run)"

BROKEN = {
    "I1": "INSERT INTO portcullis.audit_entry (run_id, effect, batch_id, facts, records)"
    f" VALUES ({RUN}, 'enforced', 1, '{{}}', int8send(7) || 'P' || int4send(2))",
    "I2": "UPDATE app.sessions SET started_at = now() - interval '1 day', ended_at = NULL",
    "I3": "CREATE OR REPLACE FUNCTION portcullis.gate(user_id portcullis.member_id, organization_id portcullis.organization_id,"
    " started_with text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'none' $$",
    "I4": "UPDATE portcullis.batch SET owed = owed + 1, accepted = accepted - 1 WHERE stage = 'notice'",
    "I6": "UPDATE portcullis.batch SET accepted = accepted + 1 WHERE stage = 'notice'",
    "I8": "UPDATE portcullis.run SET state = 'running', finished_at = NULL, epoch = 9",
    "I9": "INSERT INTO portcullis.batch (run_id, stage, next_at) SELECT run_id, 'plan', now() - interval '2 minutes' FROM portcullis.run;"
    "UPDATE portcullis.run SET state = 'running', finished_at = NULL, requested_at = now() - interval '2 minutes'",
    "I10": "UPDATE portcullis.run SET state = 'running', finished_at = NULL;"
    " UPDATE portcullis.batch SET done_at = now() - interval '1 hour',"
    " last_letter_at = NULL, next_at = now() - interval '1 hour', leased_until = NULL",
    "I14": "INSERT INTO portcullis.holder (user_id, failures, admitted) VALUES (1, 101, true)",
    "I15": "INSERT INTO portcullis.batch (run_id, stage, state, done_at) SELECT run_id, 'enforce', 'done', now() FROM portcullis.run",
    "I18": "UPDATE portcullis.delivery SET letter = 'lifted'",
    "I19": f"SELECT portcullis.write_audit({RUN}, 'lifted', '{{}}'); SELECT portcullis.write_audit({RUN}, 'enforced', '{{}}')",
}


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, redis_url) as world:
        organization = await an_organization(world.db, members=3)
        await a_member(world.db, organization.id, factor=True)
        await world.run_to_end(await world.require(organization))
        yield world


@asynccontextmanager
async def an_auditor(world: World) -> AsyncIterator[Auditor]:
    pool = await open_pool(as_role(world.url, Role.AUDITOR) if UNDER_ROLES else world.url, size=1)
    try:
        yield Auditor(pool)
    finally:
        await pool.close()


async def found(world: World) -> dict[str, int]:
    async with an_auditor(world) as auditor:
        return {result.invariant: result.found for result in await auditor.look() if result.found}


async def test_a_run_in_order_leaves_nothing_to_find_and_every_invariant_is_shown(world: World) -> None:
    assert await found(world) == {}
    shown = await world.db.fetch("SELECT invariant FROM portcullis.audit_result WHERE ok")
    assert {row["invariant"] for row in shown} == {"I1", *QUERIES}


@pytest.mark.parametrize("invariant", BROKEN)
async def test_what_is_broken_is_found(world: World, invariant: str) -> None:
    await world.db.execute(BROKEN[invariant])
    assert (await found(world)).get(invariant), invariant
    shown = await world.db.fetchrow("SELECT * FROM portcullis.audit_result WHERE invariant = $1", invariant)
    assert (shown["ok"], shown["words"] is None) == (False, False)


async def test_letters_after_a_stop_are_found(world: World) -> None:
    organization = await an_organization(world.db, members=2)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    assert await found(world) == {}
    await world.db.execute("UPDATE portcullis.batch SET last_letter_at = now() + interval '2 minutes' WHERE run_id = $1", run)
    assert "I5" in await found(world)


async def test_a_record_that_was_taken_back_to_an_earlier_state_is_missed_by_whoever_saw_the_later_one(world: World) -> None:
    await sealed(world)
    earlier = await world.db.fetchval("SELECT max(entry_id) FROM portcullis.audit_entry")
    await world.db.execute("SELECT portcullis.write_audit(0, 'tried', '{}')")
    await sealed(world)
    async with an_auditor(world) as auditor:
        assert [result for result in await auditor.look() if result.found] == []
        for table, condition in (("checkpoint", "number = 2"), ("seal", f"entry_id > {earlier}"), ("entry", f"entry_id > {earlier}")):
            await world.db.execute(f"ALTER TABLE portcullis.audit_{table} DISABLE TRIGGER only_added_to")
            await world.db.execute(f"DELETE FROM portcullis.audit_{table} WHERE {condition}")
        assert (await verify(world.db, Trust.in_ring(RING))).finding is None
        for _ in range(2):
            (found,) = [result for result in await auditor.look() if result.found]
            assert (found.invariant, found.words) == ("I15", "checkpoint 2, which was seen before, is gone or is another one")


async def test_connections_that_nearly_run_out_are_found_by_the_auditors_own_role(databases: Databases) -> None:
    with a_database_with_roles(databases) as url:
        async with acting_as(url, Role.AUDITOR) as auditor:
            assert (await audit.check(auditor, "I17"))[0] == 0
            most = int(await auditor.fetchval("SELECT current_setting('max_connections')"))
            others = [await asyncpg.connect(url) for _ in range(int(0.9 * most))]
            found = await audit.check(auditor, "I17")
        for other in others:
            await other.close()
    assert found[0] > len(others)
    assert found[1] == f"connections are in use, of {most}"


async def test_a_question_that_fails_is_a_finding_and_the_others_are_asked(world: World) -> None:
    await world.db.execute("DROP VIEW directory.session")
    assert list(await found(world)) == ["I2"]
    words = await world.db.fetchval("SELECT words FROM portcullis.audit_result WHERE invariant = 'I2'")
    assert "could not be asked" in words


async def test_each_look_reads_only_what_is_new(world: World) -> None:
    (entry,) = await world.db.fetch("SELECT entry_id FROM portcullis.audit_entry WHERE effect = 'enforced'")
    reading = Reading()
    assert [new.entry_id async for new in reading.new_entries(world.db)] == [entry["entry_id"]]
    assert [new.entry_id async for new in reading.new_entries(world.db)] == []
    assert (reading.floor, reading.ahead) == (await world.db.fetchval("SELECT max(entry_id) FROM portcullis.audit_entry"), set())


async def test_an_entry_that_is_committed_after_a_later_one_is_read_then(world: World) -> None:
    async with an_auditor(world) as auditor, world.another() as one, world.another() as other:
        quick, slow = one.transaction(), other.transaction()
        await quick.start()
        await one.execute("SELECT pg_current_xact_id()")  # the older transaction, so that nothing is over that is younger than the slow one
        await slow.start()
        await other.execute(BROKEN["I1"])
        await one.execute("SELECT portcullis.write_audit(7, 'enforced', '{}')")
        await quick.commit()
        for _ in range(3):
            assert [result for result in await auditor.look() if result.found] == []
        await slow.commit()
        assert [result.invariant for result in await auditor.look() if result.found] == ["I1"]
        assert [result for result in await auditor.look() if result.found] == []


async def test_on_the_command_line_it_looks_once_and_its_exit_code_tells(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})
    assert (await cli("auditor", "--once")).code is ExitCode.OK
    member = await world.db.fetchval("SELECT member_id FROM portcullis.delivery WHERE verdict = 'unprotected' LIMIT 1")
    await a_session(world.db, member)
    await world.db.execute(BROKEN["I2"])
    told = await cli("auditor", "--once", "--json")
    assert told.code is ExitCode.REFUSED
    assert [one["invariant"] for one in told.document["results"] if not one["ok"]] == ["I2"]
