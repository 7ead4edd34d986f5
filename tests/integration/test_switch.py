"""Require, lift and cancel: who may, what changes, and what two admins at two keyboards can't break."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.errors import Obsolete
from jobs.store import batches as store_batches
from jobs.store import runs
from jobs.store.batches import Claim, Stage
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import (
    EVERY_ID_TYPE,
    a_session,
    a_worker,
    batches,
    cancel,
    connected,
    enforce_all,
    gate,
    lift,
    live_sessions,
    refused,
    require,
    waits,
    work,
)

Db: TypeAlias = asyncpg.Connection


async def policy(db: Db, organization_id: Any) -> tuple[bool, int] | None:
    row = await db.fetchrow("SELECT required, epoch FROM portcullis.policy WHERE organization_id = $1", organization_id)
    return None if row is None else (row["required"], row["epoch"])


async def run(db: Db, run_id: int) -> asyncpg.Record:
    return await db.fetchrow("SELECT * FROM portcullis.run WHERE run_id = $1", run_id)


async def live_runs(db: Db) -> list[int]:
    return [row["run_id"] for row in await db.fetch("SELECT run_id FROM portcullis.run WHERE state = 'running' ORDER BY run_id")]


async def nothing_happened(db: Db) -> bool:
    counts = await db.fetchrow(
        "SELECT (SELECT count(*) FROM portcullis.policy), (SELECT count(*) FROM portcullis.run), (SELECT count(*) FROM portcullis.batch)"
    )
    return tuple(counts) == (0, 0, 0)


async def claim_one(db: Db, run_id: int, stage: Stage) -> Claim:
    """Claim the first open batch of a stage, as a worker would."""
    row = await db.fetchrow(
        "SELECT batch_id, token FROM portcullis.batch WHERE run_id = $1 AND stage = $2 AND state = 'open' ORDER BY batch_id LIMIT 1",
        run_id,
        stage,
    )
    claimed = await store_batches.claim(
        db,
        run_id=run_id,
        batch_id=row["batch_id"],
        token=row["token"],
        stages=(stage,),
        lease=timedelta(minutes=1),
        holder="test",
    )
    assert claimed is not None
    return claimed


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


# Two at once.


@pytest.mark.survives("on, off, on within a second; two admins at once", "I4 I8")
async def test_two_admins_at_once_open_one_run(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    async with connected(database_url, 2) as [first, second]:
        transaction = first.transaction()
        await transaction.start()
        run_id = await require(first, organization_id, one)
        flip = asyncio.create_task(require(second, organization_id, other))
        assert await waits(db, second, flip)
        await transaction.commit()
        assert await flip == run_id
    assert await live_runs(db) == [run_id]
    assert await policy(db, organization_id) == (True, 1)


async def test_the_second_admin_succeeds_where_the_first_gave_up(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    async with connected(database_url, 2) as [first, second]:
        transaction = first.transaction()
        await transaction.start()
        given_up = await require(first, organization_id, one)
        flip = asyncio.create_task(require(second, organization_id, other))
        assert await waits(db, second, flip)
        await transaction.rollback()
        run_id = await flip
    assert run_id != given_up
    assert (await run(db, run_id))["requested_by"] == other


async def test_one_on_and_one_off_at_once_end_as_the_last_one_says(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    one, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    await require(db, organization_id, one)
    async with connected(database_url, 3) as [first, second, third]:
        transaction = first.transaction()
        await transaction.start()
        await lift(first, organization_id, one)
        off = asyncio.create_task(lift(second, organization_id, other))
        assert await waits(db, second, off)
        on = asyncio.create_task(require(third, organization_id, one))
        assert await waits(db, third, on)
        await transaction.commit()
        with refused("PC004"):
            await off
        run_id = await on
    assert await live_runs(db) == [run_id]
    assert await policy(db, organization_id) == (True, 3)


@pytest.mark.parametrize("flip", [require, lift])
async def test_whoever_lost_their_factor_while_they_waited_flips_nothing(db: Db, database_url: str, flip: Any) -> None:
    organization_id = await an_organization(db)
    admin, other = await an_admin(db, organization_id), await an_admin(db, organization_id)
    before = None
    if flip is lift:
        await require(db, organization_id, other)
        before = (True, 1)
    async with connected(database_url, 2) as [worker, waiting]:
        transaction = worker.transaction()
        await transaction.start()
        await worker.execute(runs.SHARE_ORGANIZATION, organization_id)
        task = asyncio.create_task(flip(waiting, organization_id, admin))
        assert await waits(db, waiting, task)
        await db.execute("SELECT app.remove_second_factor($1)", admin)
        await transaction.commit()
        with refused("PC003"):
            await task
    assert await policy(db, organization_id) == before


async def test_two_organizations_dont_touch_each_other(db: Db, database_url: str) -> None:
    here, there = await an_organization(db), await an_organization(db, "Heron")
    admin_here, admin_there = await an_admin(db, here), await an_admin(db, there)
    user_there = await a_member(db, there, sessions=["password"])
    run_there = await require(db, there, admin_there)
    async with connected(database_url) as [other]:
        transaction = other.transaction()
        await transaction.start()
        run_here = await require(other, here, admin_here)
        await db.execute("SET lock_timeout = '1s'")
        assert await db.fetchval("SELECT portcullis.sign_in_requirement($1, 'password')", user_there) == "second_factor_setup"
        await enforce_all(database_url, run_there)
        assert await live_sessions(db) == set()
        await cancel(db, run_there)
        run_there = await require(db, there, admin_there)
        await transaction.commit()
    assert await live_runs(db) == sorted([run_here, run_there])
    await lift(db, here, admin_here)
    assert await live_runs(db) == [run_there]
    assert (await policy(db, here), await policy(db, there)) == ((False, 2), (True, 2))
    assert {row["stage"] for row in await batches(db, run_there, "stage")} == {"plan", "finish"}
    assert await gate(db, user_there, there) == "second_factor_setup"


# Against workers in flight.


@pytest.mark.parametrize("stop", ["lift", "cancel"])
async def test_it_waits_for_a_batch_in_flight_while_people_sign_in(db: Db, database_url: str, stop: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    user_id = await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    async with connected(database_url, 3) as [worker, waiting, login]:
        async with a_worker(database_url) as resources:
            await work(resources, run_id, Stage.PLAN)
        claim = await claim_one(worker, run_id, Stage.ENFORCE)
        transaction = worker.transaction()
        await transaction.start()
        await runs.enforce(worker, claim)
        task = asyncio.create_task(lift(waiting, organization_id, admin) if stop == "lift" else cancel(waiting, run_id))
        assert await waits(db, waiting, task)
        await login.execute("SET lock_timeout = '1s'")
        session = await login.fetchrow("SELECT * FROM app.sign_in($1, 'password')", user_id)
        assert session["restricted_to_enrolment"]
        assert not task.done()
        await transaction.commit()
        await task
    assert (await run(db, run_id))["state"] == "cancelled"
    assert await live_sessions(db) == {session["session_id"]}, "what was in flight has happened"


@pytest.mark.parametrize("stop", ["lift", "cancel", "lift and require"])
async def test_when_it_has_returned_no_further_session_is_ended(db: Db, database_url: str, stop: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    async with a_worker(database_url) as resources, connected(database_url) as [worker]:
        await work(resources, run_id, Stage.PLAN)
        claim = await claim_one(worker, run_id, Stage.ENFORCE)
        if stop == "cancel":
            await cancel(db, run_id)
        else:
            await lift(db, organization_id, admin)
        if stop == "lift and require":
            await require(db, organization_id, admin)
        with pytest.raises(Obsolete):
            async with worker.transaction():
                await runs.enforce(worker, claim)
        assert await work(resources, run_id, Stage.ENFORCE) == 0
    assert len(await live_sessions(db)) == 1
    assert await db.fetchval("SELECT count(*) FROM portcullis.delivery") == 0


async def test_a_batch_that_was_parted_at_that_moment_is_stopped_too(db: Db, database_url: str) -> None:
    """A worker that holds a batch and opens another one: neither waits for the other for ever, and nothing stays open."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    async with connected(database_url, 2) as [worker, waiting]:
        for stop in (partial(cancel, waiting, run_id), partial(lift, waiting, organization_id, admin)):
            batch_id = await db.fetchval(
                "INSERT INTO portcullis.batch (run_id, stage, owed) VALUES ($1, 'notice', 3) RETURNING batch_id", run_id
            )
            transaction = worker.transaction()
            await transaction.start()
            await worker.execute("SELECT FROM portcullis.batch WHERE batch_id = $1 FOR UPDATE", batch_id)
            task = asyncio.create_task(stop())
            assert await waits(db, waiting, task)
            await worker.execute("INSERT INTO portcullis.batch (run_id, stage, deferred) VALUES ($1, 'deferred', 2)", run_id)
            await transaction.commit()
            await task
    left = await batches(db, run_id, "stage", "state", "owed + deferred AS unsent")
    assert {(row["state"], row["unsent"]) for row in left if row["stage"] != "settle"} == {("cancelled", 0)}


# Letters.


async def a_run_with_letters(db: Db, database_url: str, organization_id: Any, admin: Any) -> int:
    """A run whose letters have all states: of six members' letters one is accepted, one refused, one on its way, one deferred, two owed."""
    for _ in range(5):
        await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    await enforce_all(database_url, run_id)
    urgent = await db.fetchval("SELECT batch_id FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice' AND urgency = 0", run_id)
    await db.execute(
        "UPDATE portcullis.delivery d SET state = new.state, letter = 'signed_out', first_tried_at = now()"
        " FROM (SELECT member_id, (ARRAY['accepted', 'refused', 'sending', 'deferred', 'owed'])[row_number() OVER (ORDER BY member_id)]"
        " AS state FROM portcullis.delivery WHERE batch_id = $1) new WHERE d.batch_id = $1 AND d.member_id = new.member_id",
        urgent,
    )
    await db.execute(
        "UPDATE portcullis.batch SET owed = 1, accepted = 1, refused = 1, sending = 1, deferred = 1, token = token + 1,"
        " leased_until = now() + interval '1 minute' WHERE batch_id = $1",
        urgent,
    )
    return run_id


async def letters(db: Db, run_id: int) -> dict[str, int]:
    counts = json.loads(await db.fetchval("SELECT portcullis.run_status($1) ->> 'letters'", run_id))
    return {state: count for state, count in counts.items() if count}


async def ledger(db: Db, run_id: int) -> dict[str, int]:
    rows = await db.fetch("SELECT state, count(*) FROM portcullis.delivery WHERE run_id = $1 AND slot = 'notice' GROUP BY 1", run_id)
    return {row["state"]: row["count"] for row in rows}


@pytest.mark.parametrize("stop", ["lift", "cancel"])
async def test_letters_that_were_not_begun_are_cancelled_at_once(db: Db, database_url: str, stop: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await a_run_with_letters(db, database_url, organization_id, admin)
    assert await letters(db, run_id) == {"accepted": 1, "refused": 1, "sending": 1, "deferred": 1, "owed": 2}
    await (lift(db, organization_id, admin) if stop == "lift" else cancel(db, run_id))
    assert await letters(db, run_id) == {"accepted": 1, "refused": 1, "sending": 1, "cancelled": 3}
    assert await letters(db, run_id) != await ledger(db, run_id), "the rows follow, in a batch of their own"

    async with a_worker(database_url) as resources:
        await work(resources, run_id, Stage.SETTLE)
        assert await ledger(db, run_id) == {"accepted": 1, "refused": 1, "sending": 1, "owed": 1, "deferred": 1, "cancelled": 1}, (
            "a mailer still holds the batch"
        )
        await db.execute("UPDATE portcullis.batch SET leased_until = now() - interval '1 second' WHERE sending > 0")
        await db.execute("UPDATE portcullis.batch SET next_at = now() WHERE stage = 'settle'")
        await work(resources, run_id, Stage.SETTLE)
    assert await ledger(db, run_id) == {"accepted": 1, "refused": 1, "uncertain": 1, "cancelled": 3} == await letters(db, run_id)
    open_stages = {row["stage"] for row in await batches(db, run_id, "stage", "state") if row["state"] == "open"}
    assert open_stages == ({"lifted"} if stop == "lift" else set())


async def test_whoever_was_told_is_told_that_it_is_over(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await a_run_with_letters(db, database_url, organization_id, admin)
    await lift(db, organization_id, admin)
    lifted = [row for row in await batches(db, run_id, "stage", "state", "low", "high", "queue") if row["stage"] == "lifted"]
    assert lifted == [{"stage": "lifted", "state": "open", "low": None, "high": None, "queue": "notify"}]


async def test_where_nobody_was_told_nobody_hears_that_it_is_over(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    await a_member(db, organization_id, sessions=["password"])
    run_id = await require(db, organization_id, admin)
    await enforce_all(database_url, run_id)
    await lift(db, organization_id, admin)
    assert {row["stage"] for row in await batches(db, run_id, "stage", "state") if row["state"] == "open"} == {"settle"}


async def test_what_an_earlier_run_still_owes_is_cancelled_by_the_next_one(db: Db, database_url: str) -> None:
    """Letters that it is over, when it is not over any more."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    first = await a_run_with_letters(db, database_url, organization_id, admin)
    await lift(db, organization_id, admin)
    await db.execute("UPDATE portcullis.batch SET owed = 1 WHERE stage = 'lifted'")
    await require(db, organization_id, admin)
    [lifted] = [row for row in await batches(db, first, "stage", "state", "owed", "cancelled") if row["stage"] == "lifted"]
    assert lifted == {"stage": "lifted", "state": "cancelled", "owed": 0, "cancelled": 1}
    assert (await run(db, first))["stopped_because"] == "lifted", "the first reason stays"


async def test_a_letter_deferred_after_the_run_was_done_is_cancelled_by_a_lift(db: Db) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    await db.execute("UPDATE portcullis.batch SET state = 'done', done_at = now()")
    await db.execute("INSERT INTO portcullis.batch (run_id, stage, deferred) VALUES ($1, 'deferred', 2)", run_id)
    await db.execute("INSERT INTO portcullis.batch (run_id, stage, owed) VALUES ($1, 'report', 1)", run_id)
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now()")
    await lift(db, organization_id, admin)
    assert (await run(db, run_id))["state"] == "done", "it was done, and stays so"
    left = await batches(db, run_id, "stage", "state", "cancelled", "owed + deferred AS unsent")
    assert [row for row in left if row["stage"] in ("deferred", "report")] == [
        {"stage": "deferred", "state": "cancelled", "cancelled": 2, "unsent": 0},
        {"stage": "report", "state": "cancelled", "cancelled": 1, "unsent": 0},
    ]


async def test_sessions_of_members_who_comply_are_never_in_question(db: Db, database_url: str) -> None:
    organization_id, other = await an_organization(db), await an_organization(db, "Heron")
    admin = await an_admin(db, organization_id)
    user_id = await a_member(db, organization_id)
    await db.execute("SELECT app.join_organization($1, $2, 'employee')", other, user_id)
    kept = {
        await a_session(db, admin),
        await a_session(db, user_id, "sso"),
        await a_session(db, user_id, organization_id=other),
        await a_session(db, await a_member(db, organization_id, password=False, sso=True), None),
    }
    await a_session(db, user_id)
    await enforce_all(database_url, await require(db, organization_id, admin))
    assert await live_sessions(db) == kept
