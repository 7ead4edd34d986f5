"""Require, lift and cancel: who may, what changes, and what belongs to the caller's transaction."""

import asyncio
from functools import partial
from typing import TypeAlias

import asyncpg
import pytest

from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import (
    EVERY_ID_TYPE,
    batches,
    cancel,
    connected,
    enforce_all,
    gate,
    lift,
    live_runs,
    live_sessions,
    nothing_happened,
    policy,
    refused,
    require,
    run,
)

Db: TypeAlias = asyncpg.Connection


# What is refused.


@EVERY_ID_TYPE
async def test_an_unknown_organization_is_named(db: Db, id_type: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await db.execute("DELETE FROM app.memberships")
    await db.execute("DELETE FROM app.organizations")
    for call in (require, lift):
        with refused("PC001") as refusal:
            await call(db, organization_id, admin)
        assert refusal.message == f"There is no organization {organization_id}"
        with refused("PC001"):
            await call(db, None, admin)
    assert await nothing_happened(db)


@EVERY_ID_TYPE
async def test_only_an_active_member_of_the_organization_may_flip(db: Db, id_type: str) -> None:
    here, there = await an_organization(db), await an_organization(db, "Heron")
    elsewhere = await an_admin(db, there)
    inactive = await a_member(db, here, factor=True, active=False)
    for who in (elsewhere, inactive, None):
        for call in (require, lift):
            with refused("PC002") as refusal:
                await call(db, here, who)
            assert "not an active member" in refusal.message
            assert str(here) in refusal.message
            assert who is None or str(who) in refusal.message
    assert await nothing_happened(db)


async def test_nobody_locks_themselves_out(db: Db) -> None:
    organization_id = await an_organization(db)
    started = await a_member(db, organization_id)
    await db.execute("SELECT app.start_second_factor($1)", started)
    for who in (await a_member(db, organization_id), await a_member(db, organization_id, sso=True), started):
        for call in (require, lift):
            with refused("PC003") as refusal:
                await call(db, organization_id, who)
            assert "would be locked out" in refusal.message
            assert "Set up two-factor authentication first" in refusal.hint
    assert await nothing_happened(db)


async def test_an_exempt_admin_is_no_admin_that_complies(db: Db) -> None:
    organization_id = await an_organization(db)
    exempt = await a_member(db, organization_id, kind="service")
    with refused("PC003"):
        await require(db, organization_id, exempt, exempt_kinds=["service"])


async def test_whoever_signs_in_by_sso_only_may_flip(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await a_member(db, organization_id, password=False, sso=True)
    run_id = await require(db, organization_id, admin)
    assert (await run(db, run_id))["requested_by"] == admin
    await lift(db, organization_id, admin)


async def test_an_organization_without_members_has_nobody_who_may(db: Db) -> None:
    organization_id = await an_organization(db)
    stranger = await an_admin(db, await an_organization(db, "Heron"))
    with refused("PC002"):
        await require(db, organization_id, stranger)


async def test_there_is_nothing_to_lift_before_and_after(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    with refused("PC004") as refusal:
        await lift(db, organization_id, admin)
    assert refusal.message == f"Organization {organization_id} does not require a second factor"
    await require(db, organization_id, admin)
    await lift(db, organization_id, admin)
    with refused("PC004"):
        await lift(db, organization_id, admin)
    assert await policy(db, organization_id) == (False, 2)


async def test_an_unknown_run_cant_be_cancelled(db: Db) -> None:
    for unknown in (7, None):
        with refused("PC005") as refusal:
            await db.execute("SELECT portcullis.cancel_run($1, 'why')", unknown)
        assert refusal.message == f"There is no run {unknown or '<NULL>'}"


async def test_a_run_that_is_over_cant_be_cancelled(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    cancelled = await require(db, organization_id, admin)
    await cancel(db, cancelled)
    done = await require(db, organization_id, admin)
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now() WHERE run_id = $1", done)
    for run_id, state in ((cancelled, "cancelled"), (done, "done")):
        with refused("PC007") as refusal:
            await cancel(db, run_id)
        assert refusal.message == f"Run {run_id} is already {state}"


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_an_older_snapshot_is_refused(db: Db, isolation: str) -> None:
    """It would not see what a batch in flight has just written, and leave that open for ever."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    for call in (partial(require, db, organization_id, admin), partial(lift, db, organization_id, admin), partial(cancel, db, run_id)):
        with refused("PC006") as refusal:
            async with db.transaction(isolation=isolation):
                await call()
        assert isolation.replace("_", " ").upper() in refusal.message
        assert "READ COMMITTED" in refusal.hint
    assert await policy(db, organization_id) == (True, 1)
    assert await live_runs(db) == [run_id]


# What a flip does.


@EVERY_ID_TYPE
async def test_the_flip_opens_one_run_with_what_its_letters_will_say(db: Db, id_type: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await db.execute("UPDATE app.organizations SET locale = 'de-DE', time_zone = 'Europe/Berlin', support_url = 'https://help.example'")
    run_id = await require(db, organization_id, admin, exempt_kinds=["service"])
    opened = await run(db, run_id)
    assert (opened["organization_id"], opened["epoch"], opened["state"], opened["requested_by"], opened["reason"]) == (
        organization_id,
        1,
        "running",
        admin,
        "audit",
    )
    assert (opened["organization_name"], opened["organization_locale"], opened["organization_time_zone"], opened["support_url"]) == (
        "Kestrel",
        "de-DE",
        "Europe/Berlin",
        "https://help.example",
    )
    assert (opened["decided_by"], opened["exempt_kinds"]) == ("Someone", ["service"])
    assert await batches(db, run_id, "stage", "state") == [{"stage": "plan", "state": "open"}, {"stage": "finish", "state": "open"}]


async def test_a_requirement_that_stands_is_required_again_in_vain(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    before = await db.fetch("SELECT * FROM portcullis.batch UNION ALL SELECT * FROM portcullis.batch"), await run(db, run_id)
    assert await require(db, organization_id, other, exempt_kinds=["employee"]) == run_id
    assert (await db.fetch("SELECT * FROM portcullis.batch UNION ALL SELECT * FROM portcullis.batch"), await run(db, run_id)) == before
    assert await db.fetchval("SELECT exempt_kinds FROM portcullis.policy") == []
    await enforce_all(database_url, run_id)
    assert await require(db, organization_id, admin) == run_id
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now()")
    assert await require(db, organization_id, other) == run_id, "also when the run is done"
    assert await policy(db, organization_id) == (True, 1)


async def test_no_exempt_kinds_are_none(db: Db) -> None:
    organization_id = await an_organization(db)
    admin, robot = await an_admin(db, organization_id), await a_member(db, organization_id, kind="service")
    run_id = await require(db, organization_id, admin, exempt_kinds=None)
    assert (await run(db, run_id))["exempt_kinds"] == []
    assert await gate(db, robot, organization_id) == "second_factor_setup"


async def test_each_flip_raises_the_epoch(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    first = await require(db, organization_id, admin)
    assert await policy(db, organization_id) == (True, 1)
    await lift(db, organization_id, admin)
    assert await policy(db, organization_id) == (False, 2)
    second = await require(db, organization_id, admin)
    assert await policy(db, organization_id) == (True, 3)
    await cancel(db, second)
    assert await policy(db, organization_id) == (True, 3), "a cancel flips nothing"
    third = await require(db, organization_id, admin)
    assert await policy(db, organization_id) == (True, 4)
    assert [(await run(db, run_id))["epoch"] for run_id in (first, second, third)] == [1, 3, 4]


async def test_on_off_on_leaves_exactly_one_live_run(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    async with db.transaction():
        first = await require(db, organization_id, admin)
        await lift(db, organization_id, admin)
        second = await require(db, organization_id, admin)
    third = second
    for _ in range(3):
        await lift(db, organization_id, admin)
        third = await require(db, organization_id, admin)
    assert await live_runs(db) == [third]
    assert (await run(db, first))["stopped_because"] == "lifted"
    still_open = await db.fetch(
        "SELECT DISTINCT run_id, stage FROM portcullis.batch WHERE state = 'open' AND stage <> 'settle' ORDER BY 1, 2"
    )
    assert [tuple(row) for row in still_open] == [(third, "finish"), (third, "plan")]


async def test_a_cancelled_run_leaves_the_requirement_and_makes_room_for_another(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id, sessions=["password"])
    first = await require(db, organization_id, admin)
    await cancel(db, first)
    stopped = await run(db, first)
    assert (stopped["state"], stopped["stopped_because"]) == ("cancelled", "wrong day")
    assert stopped["finished_at"] is not None
    assert await gate(db, user_id, organization_id) == "second_factor_setup"
    await enforce_all(database_url, first)
    assert len(await live_sessions(db)) == 1, "nothing of a cancelled run is done"
    second = await require(db, organization_id, admin)
    assert second > first
    await enforce_all(database_url, second)
    assert await live_sessions(db) == set()


async def test_a_flip_tells_whoever_listens_once_it_is_committed(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    async with connected(database_url) as [listener]:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await listener.add_listener("portcullis", lambda *told: heard.put_nowait(told[2]))
        transaction = db.transaction()
        await transaction.start()
        await require(db, organization_id, admin)
        await transaction.rollback()
        await listener.execute("SELECT 1")
        assert heard.empty()
        run_id = await require(db, organization_id, admin)
        await asyncio.wait_for(heard.get(), 5)
        await cancel(db, run_id)
        await asyncio.wait_for(heard.get(), 5)
        await lift(db, organization_id, admin)
        await asyncio.wait_for(heard.get(), 5)


# The caller's transaction.


async def test_a_flip_that_is_rolled_back_never_was(db: Db) -> None:
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id)
    transaction = db.transaction()
    await transaction.start()
    await require(db, organization_id, admin)
    assert await gate(db, user_id, organization_id) == "second_factor_setup", "within the transaction it stands already"
    await transaction.rollback()
    assert await nothing_happened(db)
    assert await gate(db, user_id, organization_id) == "none"


async def test_a_lift_or_cancel_that_is_rolled_back_never_was(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    before = await db.fetch("SELECT * FROM portcullis.batch"), await run(db, run_id), await policy(db, organization_id)
    for call in (partial(lift, db, organization_id, admin), partial(cancel, db, run_id)):
        transaction = db.transaction()
        await transaction.start()
        await call()
        await transaction.rollback()
    assert (await db.fetch("SELECT * FROM portcullis.batch"), await run(db, run_id), await policy(db, organization_id)) == before


async def test_the_flip_goes_with_what_the_app_writes_beside_it(db: Db) -> None:
    """An app that writes its own setting in the same transaction has both or neither."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    with refused("PC003"):
        async with db.transaction():
            await db.execute("UPDATE app.organizations SET name = 'Kestrel (2FA)'")
            await require(db, organization_id, await a_member(db, organization_id))
    assert await db.fetchval("SELECT name FROM app.organizations") == "Kestrel"
    async with db.transaction():
        await db.execute("UPDATE app.organizations SET name = 'Kestrel (2FA)'")
        run_id = await require(db, organization_id, admin)
    assert (await run(db, run_id))["organization_name"] == "Kestrel (2FA)"
