"""`queues` counts what PostgreSQL and Redis really hold."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from dramatiq import Message

from jobs.client import require_second_factor
from jobs.keys import KeyRing
from jobs.routing import ACTOR_NAMES, hint
from jobs.store import workers
from jobs.store.batches import Stage
from tests.integration.cli_runner import Cli
from tests.integration.main_app_people import an_admin, an_organization
from workers.broker import open_broker
from workers.cli.exit_codes import ExitCode

RING = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def cli(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


async def a_run(db: asyncpg.Connection) -> int:
    organization = await an_organization(db)
    return await require_second_factor(db, organization, requested_by=await an_admin(db, organization), reason=None)


async def a_batch(db: asyncpg.Connection, run: int, *, stage: str, state: str = "open", due: timedelta, leased: bool = False) -> None:
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state, next_at, leased_until)"
        " VALUES ($1, $2, $3, now() + $4, CASE WHEN $5 THEN now() + interval '1 minute' END)",
        *(run, stage, state, due, leased),
    )


def publish(redis_url: str, *messages: Message[Any]) -> None:
    broker = open_broker(redis_url=redis_url, key_ring=KeyRing.parse(RING), allowed_actors=ACTOR_NAMES, quarantine=lambda _: None)
    for queue in {message.queue_name for message in messages}:
        broker.declare_queue(queue)
    broker.enqueue_many(messages)
    broker.close()


async def test_batches_are_counted_by_what_they_wait_for(cli: Cli, db: asyncpg.Connection, redis_url: str) -> None:
    run = await a_run(db)  # one batch to plan, due at once; that of the finish is not counted
    await a_batch(db, run, stage="notice", due=timedelta(minutes=-3))
    await a_batch(db, run, stage="notice", due=timedelta(minutes=-1), leased=True)
    await a_batch(db, run, stage="deferred", due=timedelta(hours=1))
    await a_batch(db, run, stage="notice", state="dead", due=timedelta(hours=-1))
    await a_batch(db, run, stage="notice", state="done", due=timedelta(hours=-1))
    await workers.announce(db, "host:1/notify", "notify", 2, "0.1.0")
    await workers.quarantine(db, "0" * 64, "enforce", "malformed", b"?")
    publish(
        redis_url, *(hint(Stage.PLAN, run=run, batch=number, token=0) for number in range(3)), hint(Stage.NOTICE, run=run, batch=1, token=0)
    )

    seen = await cli("queues", "--json")
    assert seen.code is ExitCode.OK
    enforce, notify = seen.document["queues"]
    assert 180 <= notify.pop("oldest_due_seconds") < 240
    assert 0 <= enforce.pop("oldest_due_seconds") < 60
    assert enforce == {
        "queue": "enforce",
        "due": 1,
        "later": 0,
        "in_flight": 0,
        "dead": 0,
        "workers": 0,
        "quarantined": 1,
        "hints": {"waiting": 3, "taken": 0, "consumers": 0},
    }
    assert notify == {
        "queue": "notify",
        "due": 1,
        "later": 1,
        "in_flight": 1,
        "dead": 1,
        "workers": 1,
        "quarantined": 0,
        "hints": {"waiting": 1, "taken": 0, "consumers": 0},
    }
    assert [line.split()[0] for line in (await cli("queues")).out.splitlines()] == ["QUEUE", "enforce", "notify"]


async def test_an_idle_system_has_empty_queues(cli: Cli) -> None:
    for queue in (await cli("queues", "--json")).document["queues"]:
        assert queue["oldest_due_seconds"] is None
        assert queue["due"] == queue["later"] == queue["in_flight"] == queue["dead"] == queue["hints"]["waiting"] == 0


async def test_with_redis_away_the_part_of_postgres_is_shown(cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_run(db)
    monkeypatch.setenv("REDIS_URL", "redis://:canary-7f3a@127.0.0.1:1/0")
    seen = await cli("queues", "--json")
    assert seen.code is ExitCode.UNREACHABLE
    assert [(queue["due"], queue["hints"]) for queue in seen.document["queues"]] == [(1, None), (0, None)]
    assert seen.document["redis"]["name"] == "redis_unreachable"
    told = await cli("queues")
    assert told.out.startswith("QUEUE")
    assert "Redis of REDIS_URL can't be asked" in told.err
    assert "canary-7f3a" not in seen.out + told.out + told.err
