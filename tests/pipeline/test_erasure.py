"""Forgetting somebody: nothing leads back to them, nothing else is lost, and the record still verifies."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from jobs import client
from jobs.audit.verification import Trust, verify
from tests.builders import Member, Organization, a_member, an_organization
from tests.integration.cli_runner import Cli
from tests.pipeline.test_audit_verify import sealed
from tests.pipeline.world import RING, World
from workers.cli.exit_codes import ExitCode

TRUST = Trust.in_ring(RING)

REMOVE = """
    DELETE FROM app.sessions WHERE user_id = $1;
    DELETE FROM app.second_factors WHERE user_id = $1;
    DELETE FROM app.memberships WHERE user_id = $1;
    DELETE FROM app.identities WHERE user_id = $1;
    DELETE FROM app.users WHERE user_id = $1
"""


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=4)


async def leave(world: World, member: Member) -> None:
    """Take somebody out of the main app, as an app does that deletes an account."""
    await world.checker.look(world.history)
    for statement in REMOVE.split(";"):
        await world.db.execute(statement, member.id)
    await world.checker.look(world.history)


async def erase(world: World, member: Member) -> dict[str, int]:
    rows = await world.db.fetch("SELECT *, member_id::text AS member FROM portcullis.delivery WHERE member_id = $1", member.id)
    async with world.db.transaction(isolation="read_committed"):
        erased = await client.erase_member(world.db, member.id, reason="asked for it")
    world.history.erased += [dict(row) for row in rows]
    return erased


async def kept(world: World, member: Member) -> list[str]:
    """Name every table of Portcullis with a row in which the person's id or address is found."""
    tables = await world.db.fetch(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'portcullis'::regnamespace AND c.relkind = 'r' ORDER BY 1"
    )
    columns = {(row["table_name"], row["column_name"]) for row in await world.db.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'portcullis' AND domain_name = 'member_id'"
    )}  # fmt: skip
    found = []
    for (table,) in tables:
        ids = [f"t.{column} = $1" for name, column in sorted(columns) if name == table]
        condition = " OR ".join(["to_jsonb(t)::text LIKE '%' || $2 || '%'", *ids])
        arguments: list[Any] = [member.id, member.email]
        condition = condition if ids else f"({condition}) AND $1::bigint IS NOT NULL"
        if await world.db.fetchval(f"SELECT EXISTS (SELECT FROM portcullis.{table} t WHERE {condition})", *arguments):
            found.append(table)
    return found


async def test_after_a_run_nothing_leads_back_and_the_record_still_verifies(world: World, organization: Organization) -> None:
    gone = organization.members[1]
    run = await world.require(organization)
    await world.run_to_end(run)
    await sealed(world)
    assert "delivery" in await kept(world, gone)
    await leave(world, gone)
    assert await erase(world, gone) == {"ledger_rows": 1, "runs": 1, "orders": 0, "factors": 0}
    assert await kept(world, gone) == []
    await sealed(world)
    report = await verify(world.db, TRUST)
    assert (report.finding, report.members) == (None, 5)


@pytest.mark.survives("a member is erased mid-run", "I4 I6 I10 I15")
@pytest.mark.parametrize("stage", ["plan_run", "enforce_batch", "notify_batch"])
async def test_in_the_middle_of_a_run_nothing_is_lost(world: World, organization: Organization, stage: str) -> None:
    gone = organization.members[2]
    run = await world.require(organization)
    for _ in range(9):
        if stage in {hint.actor for hint in await world.step("plan_run", "enforce_batch", "notify_batch", "finish_run")}:
            break
    was_sent = world.kinds(gone)
    await leave(world, gone)
    await erase(world, gone)
    status = await world.run_to_end(run)
    assert status["state"] == "done"
    assert status["members"] == (4 if stage == "plan_run" else 5)
    assert world.kinds(gone) == was_sent
    await sealed(world)
    assert (await verify(world.db, TRUST)).finding is None


async def test_a_letter_that_is_owed_is_not_sent(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    await leave(world, gone)
    await erase(world, gone)
    status = await world.run_to_end(run)
    assert world.kinds(gone) == []
    assert (status["letters"]["suppressed"], status["letters"]["accepted"]) == (1, 4)


async def test_a_letter_that_is_on_its_way_is_uncertain(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    run = await world.require(organization)
    await world.enforce_all(run)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    await world.claim(hint)
    await world.db.execute("UPDATE portcullis.delivery SET state = 'sending' WHERE member_id = $1 AND slot = 'notice'", gone.id)
    await world.db.execute("UPDATE portcullis.batch SET owed = owed - 1, sending = sending + 1 WHERE batch_id = $1", hint.batch)
    await leave(world, gone)
    await erase(world, gone)
    await world.let_leases_end()
    status = await world.run_to_end(run)
    assert (status["letters"]["uncertain"], status["letters"]["accepted"]) == (1, 4)


async def test_after_a_cancel_the_sums_hold(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    await leave(world, organization.members[0])
    await erase(world, organization.members[0])
    status = await world.run_to_end(run)
    assert status["letters"]["cancelled"] == 5


async def test_whoever_ordered_the_run_is_forgotten_too_and_gets_no_report(world: World, organization: Organization) -> None:
    second = await a_member(world.db, organization.id, factor=True)
    run = await world.require(organization)
    await world.enforce_all(run)
    await leave(world, organization.admin)
    assert (await erase(world, organization.admin))["orders"] == 1
    status = await world.run_to_end(run)
    assert status["state"] == "done"
    assert status["requested_by"] is None
    assert await world.batches(run, "report") == []
    assert await kept(world, organization.admin) == []
    await world.db.execute("SELECT portcullis.lift_second_factor($1, $2, 'over')", organization.id, second.id)
    await world.run_to_end(run)


async def test_whom_the_report_names_is_named_no_longer(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    run = await world.require(organization)
    await world.run_to_end(run)
    named = [{"member_id": gone.id, "address": gone.email, "state": "refused", "reason": "no"}]
    await world.db.execute(
        "UPDATE portcullis.run SET totals = totals || jsonb_build_object('unreachable', $1::text::jsonb)", json.dumps(named)
    )
    await leave(world, gone)
    await erase(world, gone)
    totals = await world.pool.fetchval("SELECT totals FROM portcullis.run WHERE run_id = $1", run)
    assert (totals["unreachable"], totals["unreachable_more"]) == ([], 1)


async def test_whoever_is_still_a_member_is_not_erased(world: World, organization: Organization) -> None:
    with pytest.raises(client.StillAMember):
        await erase(world, organization.members[0])


@pytest.mark.parametrize("reason", ["", "  ", None])
async def test_nobody_is_erased_without_a_reason(world: World, organization: Organization, reason: str | None) -> None:
    with pytest.raises(client.NoReason):
        await client.erase_member(world.db, organization.members[0].id, reason=reason)  # type: ignore[arg-type]


async def test_a_second_factor_goes_and_what_was_done_to_it_stays_without_a_name(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    await world.db.execute(
        "INSERT INTO portcullis.factor (factor_id, user_id, kind, confirmed_at, key_id, secret, last_step)"
        " VALUES (gen_random_uuid(), $1, 'totp', now(), 'k1', 'sealed', 1)",
        gone.id,
    )
    await world.db.execute(
        "INSERT INTO portcullis.factor_audit (effect, user_id, done_by, reason, origin) VALUES"
        " ('added', $1, $1, NULL, '{\"ip\": \"192.0.2.1\"}'),"
        " ('reset', $1, $2, 'she called', '{}')",
        gone.id,
        organization.admin.id,
    )
    await world.db.execute("INSERT INTO portcullis.factor_letter (user_id, letter) VALUES ($1, 'factor_added')", gone.id)
    await leave(world, gone)
    assert (await erase(world, gone))["factors"] == 1
    assert await kept(world, gone) == []
    rows = await world.db.fetch("SELECT effect, subject, origin::text, reason FROM portcullis.factor_audit ORDER BY audit_id")
    assert [(row["effect"], row["origin"], row["reason"]) for row in rows] == [("added", "{}", None), ("reset", "{}", "erased")]
    assert rows[0]["subject"] == rows[1]["subject"] is not None


@pytest.mark.parametrize("id_type", ["integer", "uuid", "text"], indirect=True)
async def test_whatever_ids_are_made_of(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    run = await world.require(organization)
    await world.run_to_end(run)
    await leave(world, gone)
    assert (await erase(world, gone))["ledger_rows"] == 1
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.batch WHERE low = $1 OR high = $1", gone.id) == 0


async def test_twice_nothing_more_is_found(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.run_to_end(run)
    await leave(world, organization.members[0])
    assert (await erase(world, organization.members[0]))["ledger_rows"] == 1
    assert (await erase(world, organization.members[0]))["ledger_rows"] == 0


async def test_on_the_command_line(
    world: World, organization: Organization, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})
    gone = organization.members[0]
    refused = await cli("erase", gone.id, "--reason", "x", "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.REFUSED, "still_a_member")
    await world.run_to_end(await world.require(organization))
    await leave(world, gone)
    world.history.erased.append(dict(await world.letter(1, gone)) | {"member": str(gone.id)})
    assert (await cli("erase", gone.id, "--reason", "x", "--json")).document["ledger_rows"] == 1
    assert (await cli("erase", gone.id, "--reason", "x")).out == "Nothing was known of this person.\n"
    assert (await cli("erase", "x", "--reason", "x")).code is ExitCode.USAGE


async def test_it_waits_for_a_batch_that_began_before_the_person_left(world: World, organization: Organization, database_url: str) -> None:
    await world.require(organization)
    async with world.pool.acquire() as batch, batch.transaction():
        await batch.execute("SELECT pg_advisory_xact_lock_shared(portcullis.lock_key('enforce', $1))", organization.id)
        await leave(world, organization.members[0])
        await world.db.execute("SET lock_timeout = '200ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await erase(world, organization.members[0])
    assert await erase(world, organization.members[0])


async def test_it_waits_for_an_order_to_the_switch_before_it_holds_any_letter(
    world: World, organization: Organization, database_url: str
) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await leave(world, organization.admin)
    other = await asyncpg.connect(database_url)
    lock = other.transaction()
    await lock.start()
    await other.execute("SELECT FROM portcullis.policy FOR UPDATE")
    erasing = asyncio.create_task(erase(world, organization.admin))
    await world.until(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"), 1)
    await other.execute("SELECT FROM portcullis.batch FOR UPDATE NOWAIT")  # as a lift does next: held, it would be a deadlock
    await lock.rollback()
    assert (await erasing)["orders"] == 1
    await other.close()
    await world.run_to_end(run)
