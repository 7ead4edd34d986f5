"""What a program sees and orders: as the command line and the console have it, recorded under the token's name."""

import asyncpg
import pytest

from jobs.store import workers
from jobs.store.batches import Stage
from tests.builders import Organization, a_member, an_organization
from tests.integration.api.program import Program, problem
from tests.integration.switch_parts import a_worker, require, work


@pytest.fixture
async def organization(db: asyncpg.Connection) -> Organization:
    return await an_organization(db, members=2)


@pytest.fixture
async def run(db: asyncpg.Connection, organization: Organization) -> int:
    return await require(db, organization.id, organization.admin.id)


@pytest.fixture
async def dead(db: asyncpg.Connection, run: int, database_url: str) -> int:
    """A batch of the run that was put aside."""
    async with a_worker(database_url) as resources:
        await work(resources, run, Stage.PLAN)
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state, error, done_at) VALUES ($1, 'notice', 'dead', 'the relay refuses it', now())",
        run,
    )
    return int(await db.fetchval("SELECT batch_id FROM portcullis.batch WHERE state = 'dead'"))


async def recorded(db: asyncpg.Connection) -> list[tuple[str, str, str, str]]:
    rows = await db.fetch("SELECT actor, via, verb, reason FROM portcullis.action WHERE via = 'api' ORDER BY action_id")
    return [tuple(row) for row in rows]


async def test_runs_come_in_pages_newest_first(watcher: Program, db: asyncpg.Connection) -> None:
    runs = [await require(db, one.id, one.admin.id) for one in [await an_organization(db) for _ in range(5)]]
    seen: list[int] = []
    before: int | None = None
    while True:
        page = (await watcher.get("/runs", params={"limit": 2} | ({"before": before} if before else {}))).json()
        seen += [one["run_id"] for one in page["runs"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == sorted(runs, reverse=True)
    assert (await watcher.get("/runs?state=done")).json()["runs"] == []
    one_of = await db.fetchval("SELECT organization_id FROM portcullis.run WHERE run_id = $1", runs[0])
    assert [one["run_id"] for one in (await watcher.get(f"/runs?organization_id={one_of}")).json()["runs"]] == [runs[0]]


async def test_a_run_is_shown_whole(watcher: Program, run: int, organization: Organization) -> None:
    shown = (await watcher.get(f"/runs/{run}")).json()
    assert shown["status"]["state"] == "running"
    assert shown["facts"]["organization_id"] == str(organization.id)
    assert {stage["stage"] for stage in shown["stages"]} == {"plan", "finish"}


@pytest.mark.parametrize(
    "path", ["/runs/4711", "/members/4711", "/members/nobody", "/dead/batches/4711", "/runs?organization_id=4711", "/actions?run_id=9"]
)
async def test_what_there_is_not_is_not_found(path: str, watcher: Program) -> None:
    assert problem(await watcher.get(path))[0] == 404


async def test_a_member_is_shown_with_masked_addresses(watcher: Program, db: asyncpg.Connection, organization: Organization) -> None:
    member = await a_member(db, organization.id, email="ada.lovelace@kestrel.example", name="Ada Lovelace")
    shown = await watcher.get(f"/members/{member.id}")
    [membership] = shown.json()["memberships"]
    assert membership["verdict"] == "unprotected"
    assert membership["email"].endswith(".example")
    assert "lovelace" not in shown.text.lower()


async def test_every_attempt_at_a_member_s_letter_is_shown(
    watcher: Program, db: asyncpg.Connection, organization: Organization, run: int
) -> None:
    words = "rcpt 450 4.2.0 <ada.lovelace@kestrel.example> is greylisted"
    await db.execute(
        "INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state)"
        " VALUES ($1, 'notice', $2, 7, 'protected', 'owed')",
        *(run, organization.admin.id),
    )
    await db.execute(
        "INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome, holder, token, relay, reason)"
        " SELECT $1, 'notice', $2, 7, 'deferred', 'host:7', n, 'mail:25', $3 FROM generate_series(1, 2) n",
        *(run, organization.admin.id, words),
    )
    [letter] = (await watcher.get(f"/members/{organization.admin.id}")).json()["letters"]
    assert [(one["number"], one["outcome"], one["holder"], one["token"], one["relay"]) for one in letter["tried"]] == [
        (1, "deferred", "host:7", 1, "mail:25"),
        (2, "deferred", "host:7", 2, "mail:25"),
    ]
    assert {one["reason"] for one in letter["tried"]} == {"rcpt 450 4.2.0 <a…e@k…l.example> is greylisted"}


async def test_addresses_in_other_people_s_words_are_masked(watcher: Program, db: asyncpg.Connection, run: int) -> None:
    words = "5.1.1 <ada.lovelace@kestrel.example>: no such user"
    batch = await db.fetchval(
        "INSERT INTO portcullis.batch (run_id, stage, state, error, done_at) VALUES ($1, 'notice', 'dead', $2, now()) RETURNING batch_id",
        *(run, words),
    )
    await db.execute("INSERT INTO portcullis.breaker (scope, subject, state, cause) VALUES ('relay', 'mail:25', 'open', $1)", words)
    for path in ("/runs", f"/runs/{run}", "/dead", f"/dead/batches/{batch}", "/breakers"):
        shown = (await watcher.get(path)).text
        assert "<a…e@k…l.example>: no such user" in shown, path
        assert "lovelace" not in shown, path


async def test_how_the_record_stands_is_shown(watcher: Program, db: asyncpg.Connection) -> None:
    assert (await watcher.get("/audit")).json() == {"invariants": [], "checkpoint": None}
    await db.execute(
        "INSERT INTO portcullis.audit_result (invariant, ok, found, words) VALUES ('I1', true, 0, NULL), ('I2', false, 3, 'run 7')"
    )
    await db.execute(
        "INSERT INTO portcullis.audit_checkpoint (number, key_id, body, signature) VALUES (7, 'k1', '{}', repeat('x', 64)::bytea)"
    )
    shown = (await watcher.get("/audit")).json()
    assert [(one["invariant"], one["found"], one["words"]) for one in shown["invariants"]] == [("I2", 3, "run 7"), ("I1", 0, None)]
    assert (shown["checkpoint"]["number"], shown["checkpoint"]["key_id"]) == (7, "k1")


async def test_queues_workers_limits_breakers_and_pauses_are_listed(watcher: Program, db: asyncpg.Connection, run: int) -> None:
    await workers.announce(db, "host:1/enforce", "enforce", 2, "1")
    queues = (await watcher.get("/queues")).json()
    assert [(queue["queue"], queue["due"]) for queue in queues["queues"]] == [("enforce", 1), ("notify", 0)]
    [worker] = (await watcher.get("/workers")).json()["workers"]
    assert (worker["worker"], worker["queue"]) == ("host:1/enforce", "enforce")
    for path in ("limits", "breakers", "pauses"):
        assert (await watcher.get(f"/{path}")).json() == {path: []}


@pytest.mark.parametrize("scope", ["run", "organization", "queue", "everything"])
async def test_a_pause_is_recorded_once_and_ends(
    scope: str, bot: Program, db: asyncpg.Connection, run: int, organization: Organization
) -> None:
    names: dict[str, dict[str, object]] = {
        "run": {"run_id": run},
        "organization": {"organization_id": str(organization.id)},
        "queue": {"queue": "notify"},
    }
    body = {"target": {"scope": scope, **names.get(scope, {})}}
    assert (await bot.post("/pause", body)).json() == {"is_paused": True, "has_changed": True}
    assert (await bot.post("/pause", body)).json() == {"is_paused": True, "has_changed": False}
    [pause] = (await bot.get("/pauses")).json()["pauses"]
    assert (pause["scope"], pause["paused_by"], pause["reason"]) == (scope, "bot", "on call")
    assert (await bot.post("/resume", body)).json() == {"is_paused": False, "has_changed": True}
    assert (await bot.post("/resume", body)).json() == {"is_paused": False, "has_changed": False}
    assert await recorded(db) == [("bot", "api", "pause", "on call"), ("bot", "api", "resume", "on call")]


@pytest.mark.parametrize(
    "target",
    [
        {"scope": "run", "run_id": 4711},
        {"scope": "organization", "organization_id": "4711"},
        {"scope": "organization", "organization_id": "x"},
    ],
)
async def test_a_pause_of_what_there_is_not_is_not_found(target: dict[str, object], bot: Program, db: asyncpg.Connection) -> None:
    assert problem(await bot.post("/pause", {"target": target}))[0] == 404
    assert await recorded(db) == []


async def test_a_run_is_cancelled_once(bot: Program, watcher: Program, db: asyncpg.Connection, run: int) -> None:
    assert (await bot.post(f"/runs/{run}/cancel")).json() == {"run_id": run}
    assert problem(await bot.post(f"/runs/{run}/cancel")) == (409, "run_is_over")
    assert problem(await bot.post("/runs/4711/cancel")) == (404, "unknown_run")
    assert (await watcher.get(f"/runs/{run}")).json()["status"]["state"] == "cancelled"
    actions = (await watcher.get(f"/actions?run_id={run}")).json()["actions"]
    assert [(one["actor"], one["via"], one["verb"]) for one in actions] == [("bot", "api", "cancel")]


async def test_a_dead_batch_is_seen_counted_and_tried_again(bot: Program, watcher: Program, run: int, dead: int) -> None:
    [group] = (await watcher.get("/dead")).json()["groups"]
    assert (group["batch_id"], group["batches"]) == (dead, 1)
    assert (await watcher.get(f"/dead/batches/{dead}")).json()["batch"]["error"] == "the relay refuses it"
    dry = (await bot.post("/dead/replay", {"which": {"fingerprint": group["fingerprint"]}, "dry_run": True})).json()
    assert (dry["batches"], dry["left"]["batches"]) == ([], 1)
    done = (await bot.post("/dead/replay", {"which": {"batch_id": dead}})).json()
    assert (done["batches"], done["left"]["batches"]) == ([dead], 0)
    assert problem(await bot.post("/dead/replay", {"which": {"batch_id": dead}})) == (409, "not_dead")
    assert problem(await watcher.get(f"/dead/batches/{dead}")) == (409, "not_dead")


async def test_letters_of_a_dead_batch_are_given_up(bot: Program, db: asyncpg.Connection, dead: int) -> None:
    assert (await bot.post("/dead/discard", {"which": {"everything": True}})).json()["batches"] == [dead]
    assert await recorded(db) == [("bot", "api", "discard", "on call")]


@pytest.mark.parametrize("which", [{}, {"batch_id": 1, "run_id": 1}, {"everything": False}, {"fingerprint": "x"}, None, []])
async def test_dead_batches_are_named_in_one_way(which: object, bot: Program, db: asyncpg.Connection, dead: int) -> None:
    assert problem(await bot.post("/dead/discard", {"which": which})) == (422, "malformed")
    assert await db.fetchval("SELECT state FROM portcullis.batch WHERE batch_id = $1", dead) == "dead"


async def test_a_limit_is_set_and_cleared(bot: Program, watcher: Program) -> None:
    limit = {"scope": "domain", "subject": "Example.com"}
    assert (await bot.post("/limits/set", {**limit, "amount": 5})).json() == {"before": None}
    assert (await bot.post("/limits/set", {**limit, "amount": 7.5})).json() == {"before": 5}
    [one] = (await watcher.get("/limits")).json()["limits"]
    assert (one["subject"], one["amount"], one["set_by"]) == ("example.com", 7.5, "bot")
    assert (await bot.post("/limits/clear", limit)).json() == {"before": 7.5}
    assert problem(await bot.post("/limits/clear", limit)) == (409, "no_limit")


async def test_a_breaker_is_closed(bot: Program, watcher: Program, db: asyncpg.Connection) -> None:
    await db.execute(
        "INSERT INTO portcullis.breaker (scope, subject, state, cause, retry_at) VALUES ('letter', 'signed_out', 'open', '554', now())"
    )
    body = {"scope": "letter", "subject": "signed_out"}
    assert (await bot.post("/breakers/close", body)).json() == {"changed": 1}
    assert problem(await bot.post("/breakers/close", body)) == (409, "not_open")
    assert problem(await bot.post("/breakers/close", body | {"subject": "lifted"})) == (404, "unknown_breaker")
    [one] = (await watcher.get("/breakers")).json()["breakers"]
    assert (one["state"], one["changed_by"]) == ("closed", "bot")


async def test_a_worker_is_told_to_drain_once(bot: Program, db: asyncpg.Connection) -> None:
    await workers.announce(db, "host:1/enforce", "enforce", 2, "1")
    assert (await bot.post("/workers/drain", {"worker": "host:1/enforce"})).json() == {"has_changed": True}
    assert (await bot.post("/workers/drain", {"worker": "host:1/enforce"})).json() == {"has_changed": False}
    assert problem(await bot.post("/workers/drain", {"worker": "host:2/enforce"})) == (404, "unknown_worker")


async def test_actions_come_in_pages(bot: Program, watcher: Program) -> None:
    for _ in range(3):
        await bot.post("/pause", {"target": {"scope": "everything"}})
        await bot.post("/resume", {"target": {"scope": "everything"}})
    first = (await watcher.get("/actions?limit=4")).json()
    rest = (await watcher.get(f"/actions?limit=100&before={first['next_before']}")).json()
    numbers = [one["action_id"] for one in first["actions"] + rest["actions"]]
    assert numbers == sorted(numbers, reverse=True)
    assert rest["next_before"] is None
    assert [one["verb"] for one in first["actions"]] == ["resume", "pause"] * 2


async def test_no_answer_names_more_than_the_console_does(watcher: Program, db: asyncpg.Connection, run: int, dead: int) -> None:
    for path in ("/runs", f"/runs/{run}", "/queues", "/dead", f"/dead/batches/{dead}", "/workers", "/actions"):
        told = (await watcher.get(path)).text
        assert "@" not in told, path
