"""Real processes, killed, doubled, cut off and fed with rubbish in the middle of a run; after each, the checker finds nothing wrong."""

import asyncio
import json
import subprocess
import sys

import pytest

from jobs.keys import KeyRing
from jobs.routing import ENFORCE_QUEUE, hint
from jobs.store.batches import Stage as BatchStage
from tests.builders import an_organization
from tests.pipeline.system import KEYS, ROOT, Visit
from tests.relay import Act, Rule, Stage
from workers.broker.signed_encoder import SignedEncoder


async def test_a_run_that_a_message_asked_for(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=5)
    await visit.checker.look(visit.system.history)
    send = "import sys; from workers.sending import enforce; enforce.send(organization_id=int(sys.argv[1]), requested_by=int(sys.argv[2]))"
    command = [sys.executable, "-c", send, str(organization.id), str(organization.admin.id)]
    await asyncio.to_thread(subprocess.run, command, env=visit.system.environment, cwd=ROOT, check=True)
    run = await visit.until(lambda: visit.db.fetchval("SELECT run_id FROM portcullis.run WHERE organization_id = $1", organization.id))
    status = await visit.until_done(run)
    assert (status["state"], status["sessions_ended"], status["letters"]["accepted"]) == ("done", 5, 6)


@pytest.mark.survives("kill -9 of an enforcer", "I1 I2 I6 I8")
async def test_an_enforcer_killed_inside_its_transaction(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=4)
    async with visit.a_batch_that_can_not_go_on(organization) as is_at_it:
        run = await visit.require(organization)
        await is_at_it()
        visit.system.kill("enforcer")
    await visit.let_leases_end("enforcer")
    visit.system.start("enforcer")
    status = await visit.until_done(run)
    assert (status["state"], status["sessions_ended"], status["letters"]["accepted"]) == ("done", 4, 5)


@pytest.mark.survives("kill -9 of a mailer", "I4 I6")
async def test_a_mailer_killed_with_letters_on_their_way(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=12)
    last = organization.members[-1].email
    assert last
    visit.system.obey(Rule(stage=Stage.DOT, act=Act.HANG, recipient=last, times=1))
    accepted = asyncio.create_task(visit.until_accepted(11))
    run = await visit.require(organization)
    await accepted
    visit.system.kill("mailer")
    await visit.let_leases_end("mailer")
    visit.system.start("mailer")
    status = await visit.until_done(run)
    assert (status["state"], status["letters"]["accepted"]) == ("done", 13)


@pytest.mark.survives("kill -9 of a conductor, two conductors at once", "I6 I10")
async def test_the_conductor_killed_in_the_middle_of_a_run(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=4)
    async with visit.a_batch_that_can_not_go_on(organization) as is_at_it:
        run = await visit.require(organization)
        await is_at_it()
        visit.system.kill("conductor")
    await visit.until(lambda: visit.db.fetchval("SELECT count(*) FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice'", run))
    assert (await visit.status(run))["letters"]["accepted"] == 0, "nothing new begins without a conductor"
    visit.system.start("conductor")
    status = await visit.until_done(run)
    assert (status["state"], status["letters"]["accepted"]) == ("done", 5)


@pytest.mark.survives("Redis: FLUSHALL", "I11")
async def test_redis_flushed_in_the_middle_of_a_run(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=4)
    async with visit.a_batch_that_can_not_go_on(organization) as is_at_it:
        run = await visit.require(organization)
        await is_at_it()
        visit.redis.flushall()
        other = await an_organization(visit.db, name="Other", members=2)
        second = await visit.require(other)
        visit.redis.flushall()
    for each, letters in ((run, 5), (second, 3)):
        status = await visit.until_done(each)
        assert (status["state"], status["letters"]["accepted"]) == ("done", letters)


@pytest.mark.survives("old and new workers side by side", "I8 I10")
async def test_two_conductors_and_two_of_each_worker_of_whom_the_older_ones_leave(visit: Visit) -> None:
    for name in ("conductor", "enforcer", "mailer"):
        visit.system.start(name)
    two = "SELECT count(*) >= 2 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    await visit.until(lambda: visit.db.fetchval(two))
    organizations = [await an_organization(visit.db, name=f"Organization {number}", members=6) for number in range(4)]
    runs = [await visit.require(organization) for organization in organizations[:2]]
    for name in ("conductor", "enforcer", "mailer"):
        assert await visit.system.terminate(name, but=1) == [0]
    runs += [await visit.require(organization) for organization in organizations[2:]]
    for run in runs:
        status = await visit.until_done(run)
        assert (status["state"], status["sessions_ended"], status["letters"]["accepted"]) == ("done", 6, 7)
    assert await visit.db.fetchval("SELECT count(*) FROM portcullis.leader") == 1


@pytest.mark.survives("SMTP: connections refused", "I4 I10")
async def test_the_relay_away_for_all_of_the_enforcing(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=6)
    visit.system.stop_relay()
    run = await visit.require(organization)
    await visit.until(lambda: visit.db.fetchval("SELECT sum(sessions_ended) = 6 FROM portcullis.batch WHERE run_id = $1", run))

    async def says_why() -> bool:
        return any("the relay is away: 127.0.0.1:" in error for error in (await visit.status(run))["errors"])

    await visit.until(says_why)
    visit.system.start_relay()
    status = await visit.until_done(run)
    assert (status["state"], status["letters"]["accepted"]) == ("done", 7)
    tried = await visit.db.fetch("SELECT DISTINCT attempts FROM portcullis.delivery WHERE run_id = $1", run)
    assert [row["attempts"] for row in tried] == [0], "nobody's attempt"


@pytest.mark.survives("messages forged, undecodable, huge, of an unknown version", "I12")
async def test_rubbish_forgeries_and_replays_in_the_queue(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=2)
    run = await visit.until_done(await visit.require(organization))
    (batch,) = await visit.db.fetch("SELECT * FROM portcullis.batch WHERE run_id = $1 AND stage = 'enforce'", run["run_id"])
    genuine = SignedEncoder(KeyRing.parse(KEYS))
    strange = SignedEncoder(KeyRing.parse("k1:" + "QUFB" * 10 + "QUE="))
    old = hint(BatchStage.ENFORCE, run=batch["run_id"], batch=batch["batch_id"], token=0).asdict()
    payloads = {
        b"not a message at all": "malformed",
        b"x" * 20_000: "oversized",
        b"p2" + genuine.encode(old)[2:]: "unknown_version",
        strange.encode(old): "bad_signature",
        genuine.encode(old | {"actor_name": "rm"}): "unknown_actor",
        genuine.encode(old | {"options": {"on_success": genuine.encode(old).decode()}}): "forbidden_options",
    }
    queue = f"portcullis:{ENFORCE_QUEUE}"
    for payload in payloads:
        visit.redis.rpush(queue, payload, payload)
    visit.redis.rpush(queue, genuine.encode(old), genuine.encode(old))
    second = await visit.until_done(await visit.require(await an_organization(visit.db, name="Other", members=2)))
    assert second["letters"]["accepted"] == 3
    quarantined = await visit.until(lambda: everything_quarantined(visit, len(payloads)))
    assert sorted(str(reason) for reason in quarantined) == sorted(payloads.values())
    assert (await visit.status(run["run_id"]))["sessions_ended"] == 2


async def everything_quarantined(visit: Visit, count: int) -> list[str]:
    rows = await visit.db.fetch("SELECT reason FROM portcullis.quarantine")
    return [row["reason"] for row in rows] if len(rows) >= count else []


async def test_asked_to_end_processes_drain_and_give_back_what_they_hold(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=4)
    async with visit.a_batch_that_can_not_go_on(organization) as is_at_it:
        run = await visit.require(organization)
        await is_at_it()
        name = await visit.db.fetchval("SELECT worker FROM portcullis.worker WHERE queue = 'enforce' ORDER BY seen_at DESC LIMIT 1")
        ending = asyncio.create_task(visit.system.terminate("enforcer"))
        await asyncio.sleep(0.5)
        assert not ending.done(), "it waits for its batch"
    assert await ending == [0]
    held = "SELECT count(*) FROM portcullis.batch WHERE run_id = $1 AND leased_until > now() AND state = 'open'"
    await visit.until(lambda: visit.db.fetchval("SELECT count(*) FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice'", run))
    assert await visit.db.fetchval("SELECT count(*) FROM portcullis.worker WHERE worker = $1", name) == 0

    assert await visit.system.terminate("mailer") == [0]
    assert await visit.db.fetchval(held, run) == 0
    assert await visit.system.terminate("conductor") == [0]
    assert await visit.db.fetchval("SELECT leased_until <= now() FROM portcullis.leader")
    await visit.all_up()
    status = await visit.until_done(run)
    assert (status["state"], status["letters"]["accepted"]) == ("done", 5)


async def test_a_mailer_asked_to_end_in_the_middle_of_many_letters_sends_none_twice_and_loses_none(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=40)
    visit.system.stop_relay()
    visit.system.start_relay("--delay", "0.1")
    accepted = asyncio.create_task(visit.until_accepted(3))
    run = await visit.require(organization)
    await accepted
    assert await visit.system.terminate("mailer") == [0]
    before = await visit.status(run)
    assert before["letters"]["sending"] == 0, "everything is written down"
    visit.system.start("mailer")
    status = await visit.until_done(run)
    assert (status["state"], status["letters"]["accepted"]) == ("done", 41)
    visit.system.stop_relay()
    visit.system.start_relay()


@pytest.mark.survives("a log is read by strangers", "I16")
async def test_nobody_said_a_secret_or_an_address_in_a_log(visit: Visit) -> None:
    organization = await an_organization(visit.db, name="Canary Organization", members=1)
    visit.system.obey(Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user"))
    await visit.until_done(await visit.require(organization))
    text = "".join(log.read_text() for log in visit.system.directory.glob("*.log"))
    for secret in ("Canary Organization", "@kestrel.example", KEYS.partition(":")[2], "Ada Lovelace"):
        assert secret not in text
    events = {json.loads(line)["event"] for line in text.splitlines() if line.startswith("{")}
    assert {"worker_started", "run_finished", "batch_enforced", "batch_notified"} <= events
