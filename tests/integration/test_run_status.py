"""`run_status`: one object, from counters alone, whose numbers add up at every step of a run."""

import json
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.domain.letters import LetterState
from jobs.domain.outcomes import Outcome, Scope, settle
from jobs.resources import Resources
from jobs.store import deliveries
from jobs.store.batches import Claim, Stage, claim
from jobs.store.deliveries import Settled
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.plans import used
from tests.integration.switch_parts import EVERY_ID_TYPE, a_session, a_worker, cancel, lift, refused, require, work

Db: TypeAlias = asyncpg.Connection

KEYS = {
    *("run_id", "organization_id", "epoch", "state", "stage", "members", "verdicts", "sessions_ended", "letters", "batches"),
    *("requested_at", "last_session_ended_at", "last_letter_at", "finished_at"),
}
VERDICTS = {"unprotected", "protected", "sso", "exempt", "inactive"}
LETTERS = {"owed", "sending", "deferred", "accepted", "refused", "uncertain", "suppressed", "cancelled"}
BATCHES = {"open", "done", "dead"}
"""As design.md promises them."""


async def status(db: Db, run_id: int) -> dict[str, Any]:
    """The object, checked for what must hold of it at any time."""
    found: dict[str, Any] = json.loads(await db.fetchval("SELECT portcullis.run_status($1)", run_id))
    assert set(found) >= KEYS
    assert (set(found["verdicts"]), set(found["letters"]), set(found["batches"])) == (VERDICTS, LETTERS, BATCHES)
    assert sum(found["verdicts"].values()) == found["members"] == sum(found["letters"].values())
    assert min(*found["verdicts"].values(), *found["letters"].values()) >= 0
    return found


def some(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


async def ledger(db: Db, run_id: int) -> dict[str, int]:
    rows = await db.fetch("SELECT state, count(*) FROM portcullis.delivery WHERE run_id = $1 AND slot = 'notice' GROUP BY 1", run_id)
    return {row["state"]: row["count"] for row in rows}


async def a_crowd(db: Db) -> tuple[Any, Any]:
    """An organization with an admin who complies, 1 member by SSO only, 2 of kind `service`, 3 inactive and 4 others, two sessions each."""
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    crowd: list[dict[str, Any]] = [{"password": False, "sso": True}, {"kind": "service"}, {"active": False}, {}]
    for count, facts in enumerate(crowd, start=1):
        for _ in range(count):
            await a_member(db, organization_id, sessions=["password", "token"], **facts)
    # Of one address for everybody, a refusal would keep all the others from being written to.
    await db.execute("UPDATE app.users SET email = user_id || '@example.com'")
    return organization_id, admin


async def claim_letters(resources: Resources, run_id: int, stage: Stage = Stage.NOTICE) -> Claim:
    row = await resources.pool.fetchrow(
        "SELECT batch_id, token FROM portcullis.batch WHERE run_id = $1 AND stage = $2 AND state = 'open' ORDER BY urgency LIMIT 1",
        run_id,
        stage,
    )
    held = await claim(
        resources.pool, run_id=run_id, batch_id=row["batch_id"], token=row["token"], stages=(stage,), lease=resources.lease, holder="test"
    )
    assert held is not None
    return held


async def send(resources: Resources, run_id: int, *outcomes: Outcome) -> Claim:
    """Mark as many letters of the most urgent batch as there are outcomes, and record those."""
    held = await claim_letters(resources, run_id)
    marked = await deliveries.mark(resources.pool, held, limit=len(outcomes), members=None, lease=resources.lease)
    letters = zip(marked, outcomes, strict=True)
    await deliveries.record(
        resources.pool, [Settled(claim=held, member_id=letter.member_id, outcome=outcome) for letter, outcome in letters]
    )
    return held


def outcome(scope: Scope, doubts: int = 0) -> Outcome:
    return settle(scope, attempts=0, doubts=doubts, luck=0.5)


@EVERY_ID_TYPE
async def test_a_run_from_its_first_moment_to_its_last(db: Db, database_url: str, id_type: str) -> None:
    organization_id, admin = await a_crowd(db)
    run_id = await require(db, organization_id, admin, exempt_kinds=["service"])
    first = await status(db, run_id)
    as_json = organization_id if isinstance(organization_id, int) else str(organization_id)
    assert (first["run_id"], first["organization_id"], first["epoch"]) == (run_id, as_json, 1)
    assert (first["requested_by"], first["reason"]) == (admin if isinstance(admin, int) else str(admin), "audit")
    assert (first["state"], first["stage"], first["members"]) == ("running", "plan", 0)
    assert first["batches"] == {"open": 1, "done": 0, "dead": 0}
    assert [first[name] for name in ("last_session_ended_at", "last_letter_at", "finished_at", "stopped_because")] == [None] * 4
    assert first["errors"] == []

    async with a_worker(database_url) as resources:
        await work(resources, run_id, Stage.PLAN)
        planned = await status(db, run_id)
        assert (planned["state"], planned["stage"], planned["batches"]) == ("running", "enforce", {"open": 1, "done": 1, "dead": 0})

        await work(resources, run_id, Stage.ENFORCE)
        enforced = await status(db, run_id)
        assert (enforced["stage"], enforced["members"], enforced["sessions_ended"]) == ("notify", 11, 8)
        assert enforced["verdicts"] == {"unprotected": 4, "protected": 1, "sso": 1, "exempt": 2, "inactive": 3}
        assert some(enforced["letters"]) == {"owed": 8, "suppressed": 3}
        assert enforced["batches"] == {"open": 2, "done": 2, "dead": 0}
        assert in_order(enforced["requested_at"], enforced["last_session_ended_at"])

        later = Outcome(state=LetterState.DEFERRED, seconds=600)
        await send(resources, run_id, outcome(Scope.ACCEPTED), outcome(Scope.RECIPIENT), later)
        told = await status(db, run_id)
        assert some(told["letters"]) == {"owed": 5, "suppressed": 3, "accepted": 1, "refused": 1, "deferred": 1} == await ledger(db, run_id)
        assert in_order(told["last_session_ended_at"], told["last_letter_at"])
        await settle_everything(resources, run_id)
        assert (await status(db, run_id))["stage"] == "finish"

        await work(resources, run_id, Stage.FINISH)
        last = await status(db, run_id)
    assert (last["state"], last["stage"], last["members"]) == ("done", "finish", 11)
    assert some(last["letters"]) == {"suppressed": 3, "accepted": 6, "refused": 1, "deferred": 1} == await ledger(db, run_id)
    assert in_order(last["last_letter_at"], last["finished_at"])
    assert last["batches"]["open"] == 2, "the deferred letter and the admin's report, which is none of the members' letters"


def in_order(*times: str) -> bool:
    moments = [datetime.fromisoformat(time) for time in times]
    return moments == sorted(moments) and all(moment.tzinfo for moment in moments)


async def settle_everything(resources: Resources, run_id: int) -> None:
    """Let what was deferred wait in a batch of its own, and every other letter be accepted."""
    while await resources.pool.fetchval(
        "SELECT count(*) FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice' AND state = 'open'", run_id
    ):
        await resources.pool.execute("UPDATE portcullis.batch SET leased_until = NULL WHERE stage = 'notice'")
        owed = await resources.pool.fetchval(
            "SELECT owed FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice' AND state = 'open' ORDER BY urgency LIMIT 1", run_id
        )
        held = await send(resources, run_id, *[outcome(Scope.ACCEPTED)] * owed)
        await deliveries.part_deferred(resources.pool, held)
        await deliveries.close(resources.pool, held, seconds=0)


async def test_a_letter_in_doubt_and_one_on_its_way_are_counted_as_such(db: Db, database_url: str) -> None:
    organization_id, admin = await a_crowd(db)
    run_id = await require(db, organization_id, admin)
    async with a_worker(database_url) as resources:
        await work(resources, run_id, Stage.PLAN)
        await work(resources, run_id, Stage.ENFORCE)
        held = await send(resources, run_id, outcome(Scope.UNCERTAIN, doubts=1))
        await deliveries.mark(resources.pool, held, limit=2, members=None, lease=resources.lease)
        assert (
            some((await status(db, run_id))["letters"])
            == {"owed": 5, "sending": 2, "uncertain": 1, "suppressed": 3}
            == await ledger(db, run_id)
        )


async def test_a_sweep_moves_members_between_verdicts_and_counts_nobody_twice(db: Db, database_url: str) -> None:
    organization_id, admin = await a_crowd(db)
    run_id = await require(db, organization_id, admin)
    async with a_worker(database_url) as resources:
        await work(resources, run_id, Stage.PLAN)
        await work(resources, run_id, Stage.ENFORCE)
        before = await status(db, run_id)
        inactive = await db.fetchval("SELECT min(user_id) FROM app.users WHERE deactivated_at IS NOT NULL")
        unprotected = await db.fetchval(
            "SELECT max(user_id) FROM directory.member WHERE has_password AND is_active AND NOT has_second_factor"
        )
        await db.execute("UPDATE app.users SET deactivated_at = NULL WHERE user_id = $1", inactive)
        await a_session(db, inactive)
        await db.execute("SELECT app.confirm_second_factor($1)", unprotected)
        await a_member(db, organization_id, sessions=["password"])
        await work(resources, run_id, Stage.FINISH)
        await work(resources, run_id, Stage.ENFORCE)
    after = await status(db, run_id)
    changes = {verdict: after["verdicts"][verdict] - before["verdicts"][verdict] for verdict in VERDICTS}
    assert some(changes) == {"inactive": -1, "protected": 1, "unprotected": 1}, "one came back, one enrolled, one joined"
    assert after["members"] == before["members"] + 1
    assert after["sessions_ended"] == before["sessions_ended"] + 4, "that of the joiner, and three of who came back"
    assert some(after["letters"]) == {"owed": 10, "suppressed": 2} == await ledger(db, run_id)


@pytest.mark.parametrize(("stop", "reason"), [("cancel", "wrong day"), ("lift", "lifted")])
async def test_a_run_that_was_stopped_says_why_and_owes_nothing(db: Db, database_url: str, stop: str, reason: str) -> None:
    organization_id, admin = await a_crowd(db)
    run_id = await require(db, organization_id, admin)
    async with a_worker(database_url) as resources:
        await work(resources, run_id, Stage.PLAN)
        await work(resources, run_id, Stage.ENFORCE)
        await (cancel(db, run_id) if stop == "cancel" else lift(db, organization_id, admin))
        stopped = await status(db, run_id)
        assert (stopped["state"], stopped["stopped_because"]) == ("cancelled", reason)
        assert some(stopped["letters"]) == {"cancelled": 8, "suppressed": 3}
        await work(resources, run_id, Stage.SETTLE)
        settled = await status(db, run_id)
    assert some(settled["letters"]) == await ledger(db, run_id)
    assert settled["batches"]["open"] == 0
    assert in_order(stopped["requested_at"], stopped["finished_at"])


async def test_what_failed_is_told_and_a_dead_batch_counts(db: Db, database_url: str) -> None:
    organization_id, admin = await a_crowd(db)
    run_id = await require(db, organization_id, admin)
    plan = await db.fetchval("SELECT batch_id FROM portcullis.batch WHERE stage = 'plan'")
    await db.execute("UPDATE portcullis.batch SET state = 'dead', attempts = 12, error = 'no such view' WHERE batch_id = $1", plan)
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, error) SELECT $1, 'enforce', 'timed out ' || n FROM generate_series(1, 9) n", run_id
    )
    await db.execute("INSERT INTO portcullis.batch (run_id, stage, state, error) VALUES ($1, 'enforce', 'done', 'long forgotten')", run_id)
    found = await status(db, run_id)
    assert (found["stage"], found["batches"]) == ("plan", {"open": 9, "done": 1, "dead": 1})
    assert len(found["errors"]) == 5
    assert found["errors"][0] == f"plan batch {plan} (dead, attempt 12): no such view", "what waits for a human comes first"


async def test_an_unknown_run_is_named(db: Db) -> None:
    for unknown in (7, None):
        with refused("PC005") as refusal:
            await db.fetchval("SELECT portcullis.run_status($1)", unknown)
        assert refusal.message == f"There is no run {unknown or '<NULL>'}"
        assert "portcullis runs" in refusal.hint


async def test_a_run_without_anybody_in_it_ends_too(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    run_id = await require(db, organization_id, admin)
    await db.execute("DELETE FROM app.memberships")
    async with a_worker(database_url) as resources:
        for stage in (Stage.PLAN, Stage.ENFORCE, Stage.FINISH):
            await work(resources, run_id, stage)
    found = await status(db, run_id)
    assert (found["state"], found["members"], found["sessions_ended"]) == ("done", 0, 0)


async def test_it_reads_no_row_of_the_ledger_and_no_other_run(db: Db) -> None:
    """So it can be asked every second while a million members are worked through."""
    organization_id = await an_organization(db)
    run_id = await require(db, organization_id, await an_admin(db, organization_id))
    await db.execute(
        "INSERT INTO portcullis.run (organization_id, epoch, state, requested_by, finished_at)"
        " SELECT 1000000 + n, 1, 'done', 1, now() FROM generate_series(1, 300) n"
    )
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state)"
        " SELECT r.run_id, 'enforce', 'done' FROM portcullis.run r, generate_series(1, 100)"
    )
    await db.execute("ANALYZE portcullis.batch, portcullis.run")
    async with used(db) as tables:
        await db.fetchval("SELECT portcullis.run_status($1)", run_id)
    assert set(tables) == {"portcullis.run", "portcullis.batch", "portcullis.pause"}
    assert all(use.seq_scans == 0 for use in tables.values())
    assert sum(use.rows for use in tables.values()) < 400


async def test_another_runs_counters_are_none_of_its_own(db: Db, database_url: str) -> None:
    here, there = await a_crowd(db), await a_crowd(db)
    run_here, run_there = await require(db, *here), await require(db, *there)
    async with a_worker(database_url) as resources:
        await work(resources, run_here, Stage.PLAN)
        await work(resources, run_here, Stage.ENFORCE)
    assert (await status(db, run_here))["members"] == 11
    assert (await status(db, run_there))["members"] == 0


async def test_times_are_instants_whatever_the_sessions_zone(db: Db) -> None:
    organization_id = await an_organization(db)
    run_id = await require(db, organization_id, await an_admin(db, organization_id))
    moments = []
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        await db.execute(f"SET timezone = '{zone}'")
        moments.append(datetime.fromisoformat((await status(db, run_id))["requested_at"]))
    assert moments[0] == moments[1] == moments[2]
    assert {moment.utcoffset() for moment in moments} >= {timedelta(0), timedelta(hours=5, minutes=45)}
