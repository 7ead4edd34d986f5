"""What becomes of letters when the switch is turned off, or a run is cancelled."""

import json
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.store.batches import Stage
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import (
    a_session,
    a_worker,
    batches,
    cancel,
    enforce_all,
    lift,
    live_sessions,
    require,
    run,
    work,
)

Db: TypeAlias = asyncpg.Connection


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
