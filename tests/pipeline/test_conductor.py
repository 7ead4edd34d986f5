"""What the conductor publishes, in which order, and what it does about hints that get lost and workers that end."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from jobs.stages import plan
from jobs.store import counts, workers
from jobs.store import hints as hint_store
from jobs.store.batches import MAX_ATTEMPTS
from tests.builders import Organization, an_organization
from tests.pipeline.world import Hint, Hints, World
from workers.conductor import HINTS_PER_LOOK, PATIENCE, WINDOW, Conductor


async def planned(world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch) -> int:
    """Switch on, and cut ranges of two members."""
    monkeypatch.setattr(plan, "RANGE", 2)
    run = await world.require(organization)
    (hint,) = await world.look()
    await world.hand_over(hint)
    return run


def by_run(hints: list[Hint]) -> Counter[int]:
    return Counter(hint.run for hint in hints)


async def test_a_window_of_batches_is_in_flight_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=20), monkeypatch)
    first = await world.look()
    assert len(first) == WINDOW
    assert await world.look() == []
    await world.hand_over(first[0])
    (next_,) = await world.look()
    assert next_.batch == first[-1].batch + 1
    await world.run_to_end(run)


async def test_a_window_is_twice_the_threads_of_the_workers_that_are_alive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await workers.announce(world.pool, "one", "enforce", 2, "1")
    await workers.announce(world.pool, "two", "enforce", 1, "1")
    await workers.announce(world.pool, "gone", "enforce", 50, "1")
    await workers.announce(world.pool, "mailer", "notify", 50, "1")
    await world.db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '1 minute' WHERE worker = 'gone'")
    await planned(world, await an_organization(world.db, members=20), monkeypatch)
    assert len(await world.look()) == 6
    await workers.withdraw(world.pool, "one")
    await workers.withdraw(world.pool, "two")
    await world.hurry()
    assert len(await world.look()) == WINDOW


async def test_organizations_take_turns_so_that_a_small_one_is_not_behind_a_large_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = await an_organization(world.db, members=40), await an_organization(world.db, name="Small", members=2)
    first = await planned(world, large, monkeypatch)
    await world.look()
    second = await planned(world, small, monkeypatch)
    await world.hurry()
    published = await world.look()
    assert [hint.run for hint in published[:4]] == [first, second, first, second]
    assert by_run(published) == {first: WINDOW, second: 2}


async def test_half_a_window_goes_before_what_waits_so_that_nobody_is_behind_the_other_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = await an_organization(world.db, members=40), await an_organization(world.db, name="Small", members=2)
    first = await planned(world, large, monkeypatch)
    assert [hint.first for hint in await world.look()] == [True, True, False, False]
    second = await planned(world, small, monkeypatch)
    assert [(hint.run, hint.first) for hint in await world.look()] == [(second, True), (second, True)]
    await world.run_to_end(second)
    await world.run_to_end(first)


@pytest.mark.survives("a small organization beside a large one", "I9")
async def test_a_small_organization_ends_while_a_large_one_is_still_at_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RANGE", 2)
    large, small = await an_organization(world.db, members=40), await an_organization(world.db, name="Small", members=2)
    first, second = await world.require(large), await world.require(small)
    await world.run_to_end(second)
    assert await world.state(first) == "running"
    await world.run_to_end(first)


async def test_no_letter_leaves_while_a_session_must_be_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=5), monkeypatch)
    (first, *others) = await world.look()
    await world.hand_over(first)
    assert [batch["state"] for batch in await world.batches(run, "notice")] == ["open", "open"]
    assert await world.look() == []
    for hint in others:
        await world.hand_over(hint)
    assert {hint.actor for hint in await world.look()} == {"notify_batch"}
    await world.run_to_end(run)


async def test_a_dead_batch_of_sessions_holds_up_no_letter_but_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=3), monkeypatch)
    first, second = await world.look()
    await world.hand_over(first)
    await world.db.execute("UPDATE portcullis.batch SET state = 'dead', error = 'by hand' WHERE batch_id = $1", second.batch)
    await world.step_until(lambda: world.has_none(run, "notice"))
    assert await world.step() == []
    assert await world.state(run) == "running"
    await world.replay(run)
    await world.run_to_end(run)


async def test_a_hint_that_got_lost_is_published_again_after_ever_longer_waits(world: World) -> None:
    run = await world.require(await an_organization(world.db))
    await world.look()
    ago = "UPDATE portcullis.batch SET hinted_at = now() - $1::interval WHERE stage = 'plan'"
    moment = timedelta(seconds=1)
    for patience in [PATIENCE * factor for factor in (1, 2, 4, 8, 16, 32, 60, 60)]:
        await world.db.execute(ago, patience - moment)
        assert await world.look() == []
        await world.db.execute(ago, patience + moment)
        assert len(await world.look()) == 1
    await world.run_to_end(run)


async def test_a_flush_of_redis_costs_time_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=9), monkeypatch)
    for _ in range(3):
        assert await world.look()
        await world.hurry()
    assert (await world.run_to_end(run))["letters"]["accepted"] == 10


async def test_while_redis_is_away_hints_are_kept_for_the_next_look(world: World) -> None:
    run = await world.require(await an_organization(world.db))
    world.hints.away = True
    assert await world.look() == []
    assert [(batch["hinted_at"], batch["hints"]) for batch in await world.batches(run, "plan")] == [(None, 0)]
    world.hints.away = False
    assert len(await world.look()) == 1
    await world.run_to_end(run)


async def test_of_two_conductors_one_leads_and_the_other_takes_over(world: World) -> None:
    published = Hints()
    other = Conductor(world.pool, published, holder="other")
    run = await world.require(await an_organization(world.db))
    await asyncio.gather(world.conductor.look(), other.look())
    await asyncio.gather(world.conductor.look(), other.look())
    assert len(world.hints.published) + len(published.published) == 1
    leader = await world.db.fetchval("SELECT holder FROM portcullis.leader")
    follower = {"conductor": other, "other": world.conductor}[leader]
    await world.db.execute("UPDATE portcullis.leader SET leased_until = now() - interval '1 second'")
    await world.hurry()
    assert await follower.look() == 1
    assert await world.db.fetchval("SELECT term FROM portcullis.leader") == 2
    await hint_store.resign(world.pool, follower._holder)
    assert await hint_store.lead(world.pool, "third", timedelta(seconds=5)) == 3
    await hint_store.resign(world.pool, "third")
    await world.run_to_end(run)


@pytest.mark.survives("kill -9 of a conductor, two conductors at once", "I6 I8")
async def test_two_conductors_that_both_believe_they_lead_do_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=9), monkeypatch)
    due = await asyncio.gather(*[hint_store.choose(world.pool, window=WINDOW, patience=PATIENCE, limit=HINTS_PER_LOOK) for _ in range(4)])
    chosen = Counter(one.batch_id for looks in due for one in looks)
    assert len(chosen) >= WINDOW
    await world.hurry()
    assert (await world.run_to_end(run))["sessions_ended"] == 9


async def test_a_look_waits_for_nobody_who_holds_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await planned(world, await an_organization(world.db, members=9), monkeypatch)
    held = (await world.batches(run, "enforce"))[1]["batch_id"]
    async with world.db.transaction():
        await world.db.execute("SELECT FROM portcullis.batch WHERE batch_id = $1 FOR UPDATE", held)
        async with asyncio.timeout(10):
            hints = await world.look()
    assert held not in {hint.batch for hint in hints}
    assert len(hints) == WINDOW - 1
    assert held in {hint.batch for hint in await world.look()}
    await world.hurry()
    await world.run_to_end(run)


async def test_a_worker_that_always_ends_without_a_word_is_the_end_of_its_batch(world: World) -> None:
    run = await world.require(await an_organization(world.db))
    for _ in range(MAX_ATTEMPTS):
        (hint,) = await world.look()
        await world.claim(hint)
        await world.let_leases_end()
    assert await world.look() == []
    (dead,) = await world.batches(run, "plan")
    assert (dead["state"], dead["error"]) == ("dead", "its worker ended without a word 12 times, last somebody")
    assert await world.replay(run) == 1
    await world.run_to_end(run)


async def test_a_run_that_is_over_is_looked_at_no_more(world: World) -> None:
    run = await world.require(await an_organization(world.db))
    await world.run_to_end(run)
    await world.look()
    assert await world.db.fetchval("SELECT has_open_batches FROM portcullis.run WHERE run_id = $1", run) is False


async def test_it_forgets_requests_after_a_week_workers_after_an_hour_and_processes_after_a_day(world: World) -> None:
    await world.db.execute(
        "INSERT INTO portcullis.request (request_id, consumed_at)"
        " VALUES (gen_random_uuid(), now() - interval '8 days'), (gen_random_uuid(), now())"
    )
    for name in ("old", "new"):
        await workers.announce(world.pool, name, "enforce", 1, "1")
        await counts.add(world.pool, process=name, kind="enforcer", version="1", telling=uuid4(), lag_seconds=0, rises=[])
    await world.db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '2 hours' WHERE worker = 'old'")
    await world.db.execute("UPDATE portcullis.process SET seen_at = now() - interval '25 hours' WHERE process = 'old'")
    await world.look()
    assert await world.db.fetchval("SELECT count(*) FROM portcullis.request") == 1
    assert [row[0] for row in await world.db.fetch("SELECT worker FROM portcullis.worker")] == ["new"]
    assert [row[0] for row in await world.db.fetch("SELECT process FROM portcullis.process")] == ["new"]


async def test_it_looks_at_once_when_it_is_told_and_ends_when_it_is_told_to(world: World) -> None:
    running = asyncio.create_task(world.conductor.run())
    organization = await an_organization(world.db)
    await asyncio.sleep(0.2)
    run = await world.require(organization)
    world.conductor.ring()
    await world.until_so(lambda: world.hints.published)
    world.conductor.stop()
    await asyncio.wait_for(running, 10)
    assert await world.db.fetchval("SELECT leased_until <= clock_timestamp() FROM portcullis.leader")
    assert world.hints.published[0].run == run


async def test_it_waits_out_the_weather_of_the_database(world: World) -> None:
    running = asyncio.create_task(world.conductor.run())
    await world.until(lambda: world.db.fetchval("SELECT count(*) FROM portcullis.leader"), 1)
    await world.db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'")
    run = await world.require(await an_organization(world.db))
    await world.until_so(lambda: [hint for hint in world.hints.published if hint.run == run])
    world.conductor.stop()
    await asyncio.wait_for(running, 10)
