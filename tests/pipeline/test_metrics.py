"""What the metrics server says is what is so: in the right form, right in its numbers, and not ready for the right reasons."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from jobs.store import hints
from jobs.store.database import open_pool
from jobs.store.steering import Order, PauseScope, pause
from tests.builders import Organization, an_organization
from tests.metrics_parts import NOWHERE, Exporter, an_exporter, families, series_of
from tests.pipeline.world import World

ORDER = Order(actor="night shift", via="cli", reason="looking into it")
GONE = "postgresql://nobody@127.0.0.1:9/gone"


@pytest.fixture
async def exporter(world: World, redis_url: str) -> AsyncIterator[Exporter]:
    async with an_exporter(world.pool, redis_url) as exporter:
        await exporter.announce("enforce", "notify")
        await world.conductor.look()
        yield exporter


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=4)


async def age(world: World, seconds: float) -> None:
    """Let everything that is due have been due for so long."""
    await world.db.execute(
        "UPDATE portcullis.batch"
        " SET next_at = now() - $1::interval, hinted_at = hinted_at - $1::interval, done_at = done_at - $1::interval",
        timedelta(seconds=seconds),
    )


# The form.


async def test_the_exposition_is_read_by_both_parsers_and_no_series_is_there_twice(exporter: Exporter) -> None:
    plain = await exporter.scrape()
    openmetrics = await exporter.scrape(accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")
    read = series_of(list(read_openmetrics(openmetrics.text)))  # type: ignore[no-untyped-call]
    assert set(read) == set(plain.series)


async def test_names_units_and_help_keep_the_conventions(exporter: Exporter) -> None:
    text = (await exporter.scrape()).text
    found = families(text)
    assert len(found) > 40
    for family in found:
        assert re.fullmatch(r"portcullis_[a-z]+(_[a-z]+)*", family.name), family.name
        assert family.type in ("counter", "gauge", "histogram")
        assert re.fullmatch(r"[A-Z].+\.", family.documentation), family.name
        assert f"# TYPE {family.name}{'_total' if family.type == 'counter' else ''} {family.type}\n" in text
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        if family.type == "gauge":
            assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
        assert not re.search(r"_(milliseconds|minutes|ms|percent)\b", family.name)


async def test_no_label_can_grow_without_bound(exporter: Exporter, world: World) -> None:
    for _ in range(3):
        organization = await an_organization(world.db, members=2)
        await world.run_to_end(await world.require(organization))
    allowed = {
        "queue",
        "state",
        "stage",
        "ending",
        "verdict",
        "scope",
        "code",
        "reason",
        "process",
        "le",
        "subject",
        "invariant",
        "relay",
        "result",
        "why",
    }
    before = await exporter.scrape()
    assert {label for family in families(before.text) for sample in family.samples for label in sample.labels} <= allowed
    organization = await an_organization(world.db, name="Zanzibar Zeppelins", members=7)
    await world.run_to_end(await world.require(organization))
    after = await exporter.scrape()
    assert set(after.series) == set(before.series)
    assert "Zanzibar" not in after.text
    assert "kestrel" not in after.text


# The numbers.


async def test_a_run_is_counted_as_the_ledger_says(exporter: Exporter, world: World, organization: Organization) -> None:
    before = await exporter.scrape()
    status = await world.run_to_end(await world.require(organization))
    after = await exporter.scrape()

    def rise(series: str) -> float:
        return after[series] - before[series]

    assert rise('portcullis_members_judged_total{verdict="unprotected"}') == status["verdicts"]["unprotected"] == 4
    assert rise('portcullis_members_judged_total{verdict="protected"}') == 1
    assert rise("portcullis_sessions_ended_total") == status["sessions_ended"] == 4
    assert rise('portcullis_letters_total{state="accepted"}') == status["letters"]["accepted"] + 1  # and the report
    assert after.series['portcullis_relay_replies_total{code="2xx",scope="accepted",stage="dot"}'] >= 6
    assert rise('portcullis_batches_total{ending="done",stage="enforce"}') == 1
    assert rise('portcullis_batch_seconds_count{stage="enforce"}') == 1
    assert rise('portcullis_batch_seconds_bucket{le="+Inf",stage="enforce"}') == 1
    assert rise('portcullis_hints_total{queue="enforce"}') >= 3
    assert after['portcullis_runs{state="running"}'] == 0


async def test_a_queue_is_measured_by_what_its_batches_wait_for(exporter: Exporter, world: World, organization: Organization) -> None:
    run = await world.require(organization)
    [hint] = await world.look()
    scraped = await exporter.scrape()
    assert scraped['portcullis_queue_batches{queue="enforce",state="ready"}'] == 1
    assert scraped['portcullis_hint_drift{queue="enforce"}'] == 1  # the test has the hint, Redis has none
    claim = await world.claim(hint)
    scraped = await exporter.scrape()
    assert scraped['portcullis_queue_batches{queue="enforce",state="in_flight"}'] == 1
    await world.let_leases_end()
    scraped = await exporter.scrape()
    assert scraped['portcullis_expired_leases{queue="enforce"}'] == 1
    before = scraped['portcullis_lease_expiries_total{queue="enforce"}']
    await world.look()
    scraped = await exporter.scrape()
    assert scraped['portcullis_lease_expiries_total{queue="enforce"}'] == before + 1
    assert scraped['portcullis_repeated_hints_total{queue="enforce"}'] > 0
    assert (scraped['portcullis_runs{state="running"}'], claim.run_id) == (1, run)


async def test_letters_behind_the_barrier_and_what_is_paused_are_not_ready(
    exporter: Exporter, world: World, organization: Organization
) -> None:
    run = await world.require(organization)
    await world.step("plan_run")
    await world.db.execute("INSERT INTO portcullis.batch (run_id, stage) VALUES ($1, 'notice')", run)
    scraped = await exporter.scrape()
    assert scraped['portcullis_queue_batches{queue="notify",state="ready"}'] == 0
    assert scraped['portcullis_queue_batches{queue="notify",state="waiting"}'] == 1
    await pause(world.db, ORDER, PauseScope.ORGANIZATION, str(organization.id))
    scraped = await exporter.scrape()
    assert scraped['portcullis_queue_batches{queue="enforce",state="ready"}'] == 0
    assert scraped['portcullis_queue_batches{queue="enforce",state="paused"}'] >= 1
    assert (scraped['portcullis_runs{state="paused"}'], scraped['portcullis_pauses{scope="organization"}']) == (1, 1)
    await world.db.execute("DELETE FROM portcullis.pause")
    await world.db.execute("DELETE FROM portcullis.batch WHERE run_id = $1 AND stage = 'notice' AND members = 0", run)
    await world.run_to_end(run)


async def test_a_settlement_is_ready_in_a_paused_run_where_the_run_was_cancelled(
    exporter: Exporter, world: World, organization: Organization
) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await pause(world.db, ORDER, PauseScope.RUN, str(run))
    await world.db.execute("INSERT INTO portcullis.batch (run_id, stage, urgency) VALUES ($1, 'settle', 2)", run)
    series = 'portcullis_queue_batches{queue="enforce",state="ready"}'
    assert ((await exporter.scrape())[series], await world.look()) == (0, [])
    await world.cancel(run)
    assert (await exporter.scrape())[series] == len(await world.look()) > 0
    await world.step_until(world.nothing_open)


async def test_a_finish_behind_a_settlement_is_not_ready(exporter: Exporter, world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.step_until(lambda: world.has_none(run, "plan", "enforce", "notice"), "plan_run", "enforce_batch", "notify_batch")
    series = 'portcullis_queue_batches{queue="enforce",state="ready"}'
    assert (await exporter.scrape())[series] == 1
    await world.db.execute("INSERT INTO portcullis.batch (run_id, stage, state, done_at) VALUES ($1, 'settle', 'dead', now())", run)
    assert (await exporter.scrape())[series] == 0
    assert [hint for hint in await world.look() if hint.actor == "finish_run"] == []
    await world.db.execute("DELETE FROM portcullis.batch WHERE run_id = $1 AND stage = 'settle'", run)
    await world.run_to_end(run)


async def test_time_is_told_since_something_moved_not_since_it_fell_due(
    exporter: Exporter, world: World, organization: Organization
) -> None:
    run = await world.require(organization)
    await world.step("plan_run")
    await age(world, 600)
    scraped = await exporter.scrape()
    assert 590 < scraped['portcullis_queue_stalled_seconds{queue="enforce"}'] < 700
    assert 590 < scraped['portcullis_queue_oldest_ready_seconds{queue="enforce"}'] < 700
    await world.db.execute("UPDATE portcullis.batch SET done_at = now() WHERE run_id = $1 AND stage = 'plan'", run)
    scraped = await exporter.scrape()
    assert scraped['portcullis_queue_stalled_seconds{queue="enforce"}'] < 60
    assert scraped['portcullis_queue_oldest_ready_seconds{queue="enforce"}'] > 590


async def test_a_gate_that_raises_is_said_and_hides_no_other_number(exporter: Exporter, world: World, organization: Organization) -> None:
    await world.require(organization)
    scraped = await exporter.scrape()
    assert scraped["portcullis_gate_up"] == 1
    assert 0 < scraped["portcullis_gate_probe_seconds"] < 5
    await world.db.execute("ALTER VIEW directory.member RENAME TO mislaid")
    scraped = await exporter.scrape()
    assert (scraped["portcullis_gate_up"], scraped["portcullis_database_up"]) == (0, 1)
    assert "portcullis_gate_probe_seconds" not in scraped.series
    await world.db.execute("ALTER VIEW directory.mislaid RENAME TO member")


async def test_what_is_away_has_no_numbers(world: World, redis_url: str) -> None:
    gone = await open_pool(GONE, size=1, least=0)
    async with an_exporter(world.pool, redis_url, asks=gone) as exporter:
        scraped = await exporter.scrape()
        assert (scraped["portcullis_database_up"], scraped["portcullis_redis_up"]) == (0, 1)
        assert not [series for series in scraped.series if "queue_batches" in series or "letters" in series]
    async with an_exporter(world.pool, NOWHERE) as exporter:
        scraped = await exporter.scrape()
        assert (scraped["portcullis_database_up"], scraped["portcullis_redis_up"]) == (1, 0)
        assert not [series for series in scraped.series if "drift" in series]


# Readiness.


async def test_a_system_at_work_is_ready(exporter: Exporter, world: World, organization: Organization) -> None:
    assert await exporter.ready() == (200, [])
    await world.require(organization)
    assert await exporter.ready() == (200, [])
    health = await exporter.client.get("/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


async def test_without_a_leading_conductor_it_is_not_ready(exporter: Exporter, world: World) -> None:
    await hints.resign(world.pool, "conductor")
    assert await exporter.ready() == (503, ["no_conductor"])


async def test_due_work_and_no_worker_for_it_is_not_ready(exporter: Exporter, world: World, organization: Organization) -> None:
    await world.db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '31 seconds' WHERE queue = 'enforce'")
    assert await exporter.ready() == (200, [])
    await world.require(organization)
    assert await exporter.ready() == (503, ["no_worker"])


async def test_a_backlog_that_does_not_move_is_not_ready(exporter: Exporter, world: World, organization: Organization) -> None:
    await world.require(organization)
    await age(world, 290)
    assert await exporter.ready() == (200, [])
    await age(world, 310)
    assert await exporter.ready() == (503, ["backlog_old"])
    await pause(world.db, ORDER, PauseScope.EVERYTHING)
    assert await exporter.ready() == (200, [])


async def test_lost_servers_are_not_ready_and_everything_is_said_at_once(world: World, redis_url: str) -> None:
    gone = await open_pool(GONE, size=1, least=0)
    async with an_exporter(world.pool, redis_url, asks=gone) as exporter:
        assert await exporter.ready() == (503, ["database_lost"])
    async with an_exporter(world.pool, NOWHERE) as exporter:
        assert await exporter.ready() == (503, ["redis_lost", "no_conductor"])
