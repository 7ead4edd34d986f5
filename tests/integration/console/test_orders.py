"""Every order: what it does, that it is recorded with who and why, and that a stale or mistyped one does nothing."""

from typing import Any

import asyncpg
import pytest

from jobs.client import require_second_factor
from tests.builders import an_organization
from tests.integration.console.browser import Visitor, fields_of


@pytest.fixture
async def run(db: asyncpg.Connection) -> int:
    """A run that is under way, of organization 1."""
    organization = await an_organization(db, members=3)
    return await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason="audit finding 12")


async def actions(db: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await db.fetch("SELECT actor, via, verb, scope, subject, reason FROM portcullis.action ORDER BY action_id")
    return [tuple(row) for row in rows]


async def a_dead_batch(db: asyncpg.Connection, run: int, *, stage: str = "notice", error: str = "template broke", owed: int = 2) -> int:
    return int(
        await db.fetchval(
            "INSERT INTO portcullis.batch (run_id, stage, state, attempts, error, done_at, owed)"
            " VALUES ($1, $2, 'dead', 12, $3, now(), $4) RETURNING batch_id",
            *(run, stage, error, owed),
        )
    )


async def test_a_run_is_paused_resumed_and_cancelled(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    paused = await mara.order(f"/runs/{run}/pause", reason="relay  is being moved")
    assert (paused.status_code, paused.headers["location"]) == (303, f"/runs/{run}?done=paused")
    shown = (await mara.get(f"/runs/{run}?done=paused")).text
    assert "Stopped by mara" in shown
    assert "relay  is being moved" in shown
    assert (await mara.order(f"/runs/{run}/pause")).status_code == 409
    assert (await mara.order(f"/runs/{run}/resume")).status_code == 303
    assert (await mara.order(f"/runs/{run}/resume")).status_code == 409
    assert (await mara.order(f"/runs/{run}/cancel", seen="running", confirmation=f"cancel {run}")).status_code == 303
    assert await db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run) == "cancelled"
    assert [action[:5] for action in await actions(db)] == [
        ("mara", "console", "pause", "run", str(run)),
        ("mara", "console", "resume", "run", str(run)),
        ("mara", "console", "cancel", "run", str(run)),
    ]
    timeline = (await mara.get(f"/runs/{run}")).text
    assert "Cancelled</b> by mara (console)" in timeline


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"seen": "running", "confirmation": "cancel"}, 400),
        ({"seen": "running", "confirmation": ""}, 400),
        ({"seen": "running", "confirmation": "cancel 1", "reason": "  "}, 400),
        ({"seen": "running", "confirmation": "cancel 1", "reason": "x" * 1001}, 400),
        ({"seen": "done", "confirmation": "cancel 1"}, 409),
    ],
    ids=["half a confirmation", "no confirmation", "no reason", "too long a reason", "stale"],
)
async def test_a_run_is_not_cancelled_by_half_an_order(
    mara: Visitor, db: asyncpg.Connection, run: int, fields: dict[str, str], status: int
) -> None:
    answer = await mara.order("/runs/1/cancel", **fields)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert await db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run) == "running"
    assert await actions(db) == []


async def test_what_is_over_can_be_neither_paused_nor_cancelled(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now(), has_open_batches = false")
    assert (await mara.order(f"/runs/{run}/pause")).status_code == 409
    assert (await mara.order(f"/runs/{run}/cancel", seen="running", confirmation=f"cancel {run}")).status_code == 409
    assert (await mara.order(f"/runs/{run}/cancel", seen="done", confirmation=f"cancel {run}")).status_code == 409
    assert (await mara.order("/runs/77/pause")).status_code == 404
    assert (await mara.order("/runs/77/cancel", confirmation="cancel 77")).status_code == 404
    assert await actions(db) == []


async def test_dead_batches_are_weighed_and_replayed_by_cause(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    alike = [await a_dead_batch(db, run, error=f"template broke at member {number}") for number in (1, 2, 3)]
    other = await a_dead_batch(db, run, error="view directory.member is gone", stage="enforce")
    listed = (await mara.get("/dead")).text
    assert listed.count("fingerprint ") == 2
    fingerprint = await db.fetchval("SELECT fingerprint FROM portcullis.batch WHERE batch_id = $1", alike[0])
    weighed = (await mara.get(f"/dead/order?what=replay&fingerprint={fingerprint}")).text
    assert "<b>3 batches</b> of 1 run fit" in weighed
    form = fields_of(weighed)
    assert (form["seen"], form["fingerprint"]) == ("3", fingerprint)
    replayed = await mara.post("/dead/order", **form, most=2, reason="template mended", confirmation="replay")
    assert replayed.headers["location"] == "/dead?done=replayed&n=2"
    assert "2 batches open again" in (await mara.get(replayed.headers["location"])).text
    states = dict(await db.fetch("SELECT batch_id, state FROM portcullis.batch WHERE batch_id = ANY ($1)", [*alike, other]))
    assert states == {alike[0]: "open", alike[1]: "open", alike[2]: "dead", other: "dead"}
    [(actor, via, verb, *_, reason)] = await actions(db)
    assert (actor, via, verb, reason) == ("mara", "console", "replay", "template mended")


async def test_a_form_about_another_number_of_dead_batches_does_nothing(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    batch = await a_dead_batch(db, run)
    form = fields_of((await mara.get("/dead/order?what=replay&everything=1")).text)
    await a_dead_batch(db, run)
    stale = await mara.post("/dead/order", **form, most=10, reason="x", confirmation="replay")
    assert stale.status_code == 409
    assert "Look at how it is now" in stale.text
    assert await db.fetchval("SELECT state FROM portcullis.batch WHERE batch_id = $1", batch) == "dead"
    assert await actions(db) == []


async def test_letters_are_discarded_and_sessions_are_not(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    letters, sessions = await a_dead_batch(db, run), await a_dead_batch(db, run, stage="enforce", error="no view")
    assert "Discard…" in (await mara.get(f"/dead/{letters}")).text
    assert "Discard…" not in (await mara.get(f"/dead/{sessions}")).text
    assert "None of them can be" in (await mara.get(f"/dead/order?what=discard&batch={sessions}")).text
    refused = await mara.order("/dead/order", what="discard", batch=sessions, seen=1, most=1, confirmation="discard")
    assert refused.status_code == 409
    form = fields_of((await mara.get(f"/dead/order?what=discard&batch={letters}")).text)
    assert (await mara.post("/dead/order", **form, most=1, reason="not needed", confirmation="discard")).status_code == 303
    assert await db.fetchval("SELECT state FROM portcullis.batch WHERE batch_id = $1", sessions) == "dead"
    assert [action[2] for action in await actions(db)] == ["discard"]


@pytest.mark.parametrize("most", ["0", "-1", "x", "", "10001", "1e3"])
async def test_a_cap_is_a_number_that_makes_sense(mara: Visitor, db: asyncpg.Connection, run: int, most: str) -> None:
    await a_dead_batch(db, run)
    assert (await mara.order("/dead/order", what="replay", everything=1, seen=1, most=most, confirmation="replay")).status_code == 400
    assert await actions(db) == []


async def test_what_is_not_dead_is_not_replayed(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    batch = await db.fetchval("SELECT min(batch_id) FROM portcullis.batch WHERE run_id = $1", run)
    assert (await mara.get(f"/dead/{batch}")).status_code == 409
    assert (await mara.order("/dead/order", what="replay", batch=batch, seen=0, most=1, confirmation="replay")).status_code == 409
    assert (await mara.order("/dead/order", what="replay", batch=999, seen=0, most=1, confirmation="replay")).status_code == 404


async def test_a_queue_is_paused_and_resumed(mara: Visitor, db: asyncpg.Connection) -> None:
    assert (await mara.order("/queues/notify/pause", reason="wrong template")).status_code == 303
    assert "wrong template" in (await mara.get("/queues")).text
    assert "All letters is paused" in (await mara.get("/")).text or "All letters" in (await mara.get("/")).text
    assert (await mara.order("/queues/notify/pause")).status_code == 409
    assert (await mara.order("/queues/notify/resume")).status_code == 303
    assert (await mara.order("/queues/nonsense/pause")).status_code == 400
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0


@pytest.mark.parametrize(
    ("what", "subject", "kept"),
    [
        ("run", "1", ("run", "1")),
        ("organization", "1", ("organization", "1")),
        ("letters", "", ("queue", "notify")),
        ("sessions", "", ("queue", "enforce")),
        ("everything", "", ("everything", "")),
    ],
)
async def test_the_emergency_stop_stops_each_of_its_things(  # noqa: PLR0917 -- three fixtures and a row of the table
    mara: Visitor, db: asyncpg.Connection, run: int, what: str, subject: str, kept: tuple[str, str]
) -> None:
    stopped = await mara.order("/emergency/stop", what=what, subject=subject, confirmation="STOP", reason="smoke")
    assert stopped.headers["location"] == "/emergency?done=stopped"
    assert [tuple(row) for row in await db.fetch("SELECT scope, subject FROM portcullis.pause")] == [kept]
    assert (await mara.order("/emergency/stop", what=what, subject=subject, confirmation="stop")).status_code == 409
    form = fields_of((await mara.get("/emergency")).text)
    assert (await mara.post("/emergency/resume", **form | {"seen": "earlier"}, reason="over")).status_code == 409
    assert (await mara.post("/emergency/resume", **form, reason="over")).status_code == 303
    assert [action[2] for action in await actions(db)] == ["pause", "resume"]
    assert "smoke" in (await mara.get("/audit")).text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"what": "everything"}, 400),
        ({"what": "everything", "confirmation": "yes"}, 400),
        ({"what": "nonsense", "confirmation": "stop"}, 400),
        ({"what": "run", "confirmation": "stop"}, 400),
        ({"what": "run", "subject": "seven", "confirmation": "stop"}, 400),
        ({"what": "run", "subject": "77", "confirmation": "stop"}, 404),
        ({"what": "organization", "subject": "77", "confirmation": "stop"}, 404),
    ],
)
async def test_half_an_emergency_stop_stops_nothing(mara: Visitor, db: asyncpg.Connection, fields: dict[str, str], status: int) -> None:
    assert (await mara.order("/emergency/stop", **fields)).status_code == status
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0


async def test_the_timeline_of_an_older_run_has_its_orders_however_much_was_ordered_since(
    mara: Visitor, db: asyncpg.Connection, run: int
) -> None:
    await mara.order(f"/runs/{run}/pause", reason="the first of many")
    await db.execute(
        "INSERT INTO portcullis.action (actor, via, verb, scope, subject, organization_id, reason)"
        " SELECT 'mara', 'cli', 'pause', 'organization', '1', 1, 'later' FROM generate_series(1, 40)"
    )
    assert "the first of many" in (await mara.get(f"/runs/{run}")).text.partition("What happened")[2]


async def test_an_order_is_carried_out_where_the_database_is_stricter_by_default(mara: Visitor, db: asyncpg.Connection) -> None:
    name = await db.fetchval("SELECT current_database()")
    await db.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
    await mara.app.state.pool.expire_connections()
    try:
        assert (await mara.order("/limits/set", scope="domain", subject="a.example", amount="1")).status_code == 303
        assert (await mara.order("/emergency/stop", what="letters", confirmation="stop")).status_code == 303
        form = fields_of((await mara.get("/emergency")).text)
        assert (await mara.post("/emergency/resume", **form, reason="over")).status_code == 303
    finally:
        await db.execute(f'ALTER DATABASE "{name}" RESET default_transaction_isolation')


async def test_a_worker_is_told_to_drain_once(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute("INSERT INTO portcullis.worker (worker, queue, threads, version) VALUES ('here:7/enforce', 'enforce', 2, '1.0')")
    assert "Drain…" in (await mara.get("/workers")).text
    assert (await mara.order("/workers/drain", worker="here:7/enforce")).status_code == 303
    assert "told to drain" in (await mara.get("/workers")).text
    assert (await mara.order("/workers/drain", worker="here:7/enforce")).status_code == 409
    assert (await mara.order("/workers/drain", worker="there:7/enforce")).status_code == 404
    await db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '1 minute', drain_ordered_at = NULL")
    assert (await mara.order("/workers/drain", worker="here:7/enforce")).status_code == 409
    assert [action[2] for action in await actions(db)] == ["drain"]


async def test_what_people_and_relays_wrote_can_not_write_the_page(mara: Visitor, db: asyncpg.Connection, run: int) -> None:
    evil = '"><script>alert(1)</script>'
    await mara.order(f"/runs/{run}/pause", reason=evil)
    await a_dead_batch(db, run, error=evil)
    for path in ("/", f"/runs/{run}", "/dead", "/audit", "/emergency", "/queues"):
        page = (await mara.get(path)).text
        assert "<script>alert" not in page
        assert page.count("<script") == 1
    assert (await mara.get(f"/members?q={evil}")).text.count("<script") == 1
