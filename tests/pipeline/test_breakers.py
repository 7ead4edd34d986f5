"""What is held back, why, and that it goes on by itself: breakers for kinds of letters and recipient domains, and the first hundred."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from jobs.domain.letters import LetterKind
from jobs.resources import Resources
from jobs.store import breakers as store
from jobs.store import deliveries, hints
from jobs.store.breakers import Rules, Tally
from tests.builders import Organization, a_member, an_organization
from tests.pipeline.world import World, a_mailroom
from tests.relay import Rule, Stage

LONG = Rules(first_pause=60, longest_pause=3600, patience=60)
"""As in production: nothing that opens in a test closes in it by itself."""

DEAD = Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", recipient="dead*")
POLICY = Rule(stage=Stage.RCPT, reply="550 5.7.1 blocked by policy", recipient="*@strict.example")
LATER = Rule(stage=Stage.RCPT, reply="451 4.7.1 not now", recipient="*@strict.example")


@asynccontextmanager
async def mailers(world: World, redis_url: str, *, count: int = 1, rules: Rules = LONG) -> AsyncIterator[list[Resources]]:
    """Mailer processes that know of each other through PostgreSQL only."""
    async with asyncio.timeout(60):
        rooms = [a_mailroom(world.pool, redis_url, world.relay, rules=rules) for _ in range(count)]
        opened = [await room.__aenter__() for room in rooms]
        try:
            yield [replace(world.resources, holder=f"mailer {number}", mail=mail) for number, mail in enumerate(opened)]
        finally:
            for room in rooms:
                await room.__aexit__(None, None, None)


async def people(world: World, count: int, *, dead: int = 0, domain: str = "kestrel.example", organization: Any = None) -> Organization:
    """An organization; the first `dead` members are gone."""
    found: Organization = organization or await an_organization(world.db)
    for number in range(count):
        name = "dead" if number < dead else "m"
        await a_member(world.db, found.id, email=f"{name}{number}.{found.id}@{domain}")
    return found


async def enforced(world: World, organization: Organization) -> int:
    run = await world.require(organization)
    await world.enforce_all(run)
    return run


async def send(world: World, *mailers: Resources) -> None:
    """Hand over what is due now, each hint to another mailer, at the same time."""
    hints = await world.look()
    await asyncio.gather(*(world.hand_over(hint, resources=mailers[number % len(mailers)]) for number, hint in enumerate(hints)))


async def open_breakers(world: World) -> list[tuple[str, str, str, str]]:
    rows = await world.db.fetch(
        "SELECT scope, subject, seen_by, state FROM portcullis.breaker WHERE state <> 'closed' ORDER BY scope, subject, seen_by"
    )
    return [tuple(row) for row in rows]


async def close(world: World, scope: str, subject: str, *, hold: str | None = None) -> None:
    """As `portcullis breakers close` does."""
    await world.db.execute(
        "UPDATE portcullis.breaker SET state = 'closed', retry_at = NULL, held_closed_until = now() + $3::text::interval,"
        " changed_by = 'ops', changed_at = now() WHERE scope = $1 AND subject = $2",
        scope,
        subject,
        hold,
    )


async def retry_now(world: World) -> None:
    """Let the pauses be over."""
    await world.db.execute("UPDATE portcullis.canary SET retry_at = now() WHERE state = 'held'")
    await world.db.execute("UPDATE portcullis.breaker SET retry_at = now() WHERE state <> 'closed'")


async def looked(mailer: Resources) -> None:
    assert mailer.mail is not None
    assert mailer.mail.breakers is not None
    await mailer.mail.breakers.tell()
    await mailer.mail.breakers.look()


async def _after(seconds: float, doing: Awaitable[object], world: World) -> list[tuple[str, str, str, str]]:
    """Do something, let some time pass, and return what is open."""
    await doing
    await asyncio.sleep(seconds)
    await world.hurry()
    return await open_breakers(world)


async def tried(world: World) -> int:
    """How many letters the relay was asked to take, or took."""
    return world.relay.verbs().count("RCPT")


async def test_a_small_organization_with_two_dead_addresses_opens_nothing(world: World, redis_url: str) -> None:
    world.relay.rules.append(DEAD)
    organization = await people(world, 20, dead=2)
    run = await world.require(organization)
    status = await world.run_to_end(run)
    assert (status["letters"]["refused"], status["state"]) == (2, "done")
    assert await open_breakers(world) == []


@pytest.mark.parametrize("count", [1, 3])
async def test_no_more_than_a_hundred_begin_before_their_fate_is_known(world: World, redis_url: str, count: int) -> None:
    organization = await people(world, 260)
    run = await enforced(world, organization)
    world.relay.delay_seconds = 0.1
    async with mailers(world, redis_url, count=count) as them:
        sending = asyncio.create_task(send(world, *them))
        while not sending.done() and await world.db.fetchval("SELECT count(*) FROM portcullis.canary WHERE state = 'passed'") == 0:
            begun = await world.db.fetchval(
                "SELECT count(*) FROM portcullis.delivery WHERE letter = 'signed_out' AND first_tried_at IS NOT NULL"
            )
            passed = await world.db.fetchval("SELECT count(*) FROM portcullis.canary WHERE state = 'passed'")
            assert begun <= 100 or passed
            await asyncio.sleep(0.01)
        await sending
        world.relay.delay_seconds = 0
        await world.run_to_end(run)
    assert await world.db.fetchval("SELECT state FROM portcullis.canary WHERE run_id = $1 AND letter = 'signed_out'", run) == "passed"


async def test_a_run_whose_first_hundred_fare_badly_waits_and_others_do_not(world: World, redis_url: str) -> None:
    world.relay.rules.append(DEAD)
    bad = await people(world, 150, dead=30)
    run = await enforced(world, bad)
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        assert await open_breakers(world) == [("letter", "signed_out", f"run {run}", "open")]
        assert await tried(world) == 100 + 1, "and the admin's, who is protected"
        other = await people(world, 30)
        second = await enforced(world, other)
        await send(world, mailer)
        assert (await world.status(second))["letters"]["accepted"] == 31
        errors = (await world.status(run))["errors"]
        assert any("held back: letters of the kind signed_out wait since" in line and "30 of 100 were refused" in line for line in errors)
        owed = [batch["owed"] for batch in await world.batches(run, "notice") if batch["state"] == "open"]
        assert owed == [50]
        assert [batch["attempts"] for batch in await world.batches(run, "notice") if batch["state"] == "open"] == [0]


async def test_after_a_pause_twenty_letters_decide_and_the_run_ends(world: World, redis_url: str) -> None:
    world.relay.rules.append(DEAD)
    run = await enforced(world, await people(world, 180, dead=30))
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        await retry_now(world)
        await looked(mailer)
        assert (await open_breakers(world))[0][3] == "probing"
        await send(world, mailer)
        await asyncio.sleep(0.1)
        assert await open_breakers(world) == []
        await world.hurry()
        await send(world, mailer)
        assert (await world.status(run))["letters"]["accepted"] == 181 - 30


async def test_a_probe_that_fares_badly_doubles_the_pause(world: World, redis_url: str) -> None:
    world.relay.rules.append(DEAD)
    await enforced(world, await people(world, 180, dead=180))
    async with mailers(world, redis_url) as (mailer,):
        for openings in (1, 2, 3):
            await send(world, mailer)
            await looked(mailer)
            row = await world.db.fetchrow("SELECT state, openings, retry_at - now() AS pause FROM portcullis.breaker WHERE seen_by <> ''")
            assert row is not None
            assert (row["state"], row["openings"]) == ("open", openings)
            assert 0.9 < row["pause"].total_seconds() / (60 * 2 ** (openings - 1)) <= 1
            await retry_now(world)
            await looked(mailer)
            await world.hurry()
        assert await tried(world) == 100 + 2 * 20 + 1
        world.relay.rules.clear()


async def told(world: World, run: int, answered: int, refused: int) -> float | None:
    """What letters met, while the run's first ones are being tried; returns how long the next pause is, in seconds."""
    tally = Tally(answered=answered, refused=refused, first_answered=answered, first_refused=refused)
    decided = await store.tally_letters(world.pool, {(run, LetterKind.SIGNED_OUT): tally}, LONG)
    assert [decision.run_id for decision in decided] == [run]
    pause = await world.db.fetchval("SELECT extract(epoch FROM retry_at - now()) FROM portcullis.canary WHERE run_id = $1", run)
    await retry_now(world)
    await store.turn(world.pool, LONG)
    return None if pause is None else round(float(pause))


async def test_a_run_with_some_dead_addresses_never_waits_longer_than_the_first_time(world: World) -> None:
    run = await enforced(world, await people(world, 3))
    await store.open_canaries(world.pool, run, [LetterKind.SIGNED_OUT], LONG)
    assert [await told(world, run, 100, 10)] + [await told(world, run, 20, 3) for _ in range(4)] == [60] * 5
    assert await told(world, run, 20, 20) == 60 * 2**5, "a letter that nobody takes is another matter"
    assert await told(world, run, 20, 1) is None
    assert await told(world, run, 400, 40) == 60, "nor when they come late"


async def test_what_is_known_of_a_run_is_forgotten_when_it_is_over_for_long(world: World) -> None:
    over = await enforced(world, await people(world, 3))
    await told_and_well(world, over)
    await world.run_to_end(over)
    await world.look()  # which closes it
    still_open = await enforced(world, await people(world, 3))
    await told_and_well(world, still_open)
    await hints.forget(world.pool)
    assert await _known_of(world) == ({over, still_open}, {f"run {over}", f"run {still_open}"})
    await world.db.execute("UPDATE portcullis.canary SET changed_at = now() - interval '8 days'")
    await world.db.execute("UPDATE portcullis.breaker SET changed_at = now() - interval '31 days'")
    await hints.forget(world.pool)
    assert await _known_of(world) == ({still_open}, set())


async def told_and_well(world: World, run: int) -> None:
    """Have a run's breaker open and close."""
    await store.open_canaries(world.pool, run, [LetterKind.SIGNED_OUT], LONG)
    assert await told(world, run, 100, 10) == 60
    assert await told(world, run, 20, 0) is None


async def _known_of(world: World) -> tuple[set[int], set[str]]:
    canaries = await world.db.fetch("SELECT run_id FROM portcullis.canary WHERE letter = 'signed_out'")
    breakers = await world.db.fetch("SELECT seen_by FROM portcullis.breaker")
    return {row["run_id"] for row in canaries}, {row["seen_by"] for row in breakers}


async def test_a_kind_of_letter_that_is_refused_everywhere_waits_everywhere_and_goes_on_by_itself(world: World) -> None:
    """Twenty organizations of twenty, one in ten of whose addresses is dead: none of them shows it, together they do."""
    world.relay.rules.append(DEAD)
    runs = [await enforced(world, await people(world, 20, dead=2)) for _ in range(20)]
    for _ in range(3):
        await world.hurry()
        await world.step("notify_batch")
        await looked(world.resources)
    assert await world.db.fetchval("SELECT openings FROM portcullis.breaker WHERE scope = 'letter' AND seen_by = ''") >= 1
    world.relay.rules.clear()
    await world.until(lambda: _after(0.05, world.step("notify_batch"), world), [])
    for run in runs:
        assert (await world.run_to_end(run))["state"] == "done"


async def test_what_the_relay_refuses_as_such_is_held_without_an_attempt_and_nothing_is_lost(world: World, redis_url: str) -> None:
    world.relay.rules.append(Rule(stage=Stage.DOT, reply="554 5.6.0 content refused"))
    organization = await people(world, 150)
    run = await enforced(world, organization)
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        (batch,) = [batch for batch in await world.batches(run, "notice") if batch["owed"] > 1]
        assert (batch["state"], batch["attempts"], batch["owed"]) == ("open", 0, 150)
        for _ in range(15):
            await retry_now(world)
            await looked(mailer)
            await world.hurry()
            await send(world, mailer)
        assert [batch["state"] for batch in await world.batches(run, "notice") if batch["owed"] > 1] == ["open"]
        world.relay.rules.clear()
        await retry_now(world)
        await looked(mailer)
        await world.hurry()
    await world.replay_all()  # the admin's one letter was put aside meanwhile: one refused letter says nothing about its kind
    assert (await world.run_to_end(run))["letters"]["accepted"] == 151


@pytest.mark.parametrize("rule", [POLICY, LATER], ids=["policy", "for now"])
async def test_a_domain_that_wants_none_of_us_is_left_alone_and_other_domains_go_on(world: World, redis_url: str, rule: Rule) -> None:
    world.relay.rules.append(rule)
    organization = await people(world, 60, domain="strict.example")
    await people(world, 40, organization=organization)
    run = await enforced(world, organization)
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        await looked(mailer)
        assert ("domain", "strict.example", "", "open") in await open_breakers(world)
        await close(world, "letter", "signed_out", hold="1 hour")
        await looked(mailer)
        before = sum("strict" in line for _, line in world.relay.commands)
        for _ in range(2):
            await world.hurry()
            await send(world, mailer)
        assert sum("strict" in line for _, line in world.relay.commands) == before
        status = await world.status(run)
        assert (status["letters"]["accepted"], status["letters"]["owed"]) == (41, 60)
        assert any("letters to strict.example wait since" in line for line in status["errors"])
        world.relay.rules.clear()
        await retry_now(world)
        await looked(mailer)
        await world.hurry()
        await send(world, mailer)
        await looked(mailer)
        assert ("domain", "strict.example", "", "open") not in await open_breakers(world)
    assert (await world.run_to_end(run))["letters"]["accepted"] == 101


async def test_dead_addresses_and_full_mailboxes_do_not_speak_for_their_domain(world: World, redis_url: str) -> None:
    world.relay.rules += [
        Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", recipient="*@old.example"),
        Rule(stage=Stage.RCPT, reply="452 4.2.2 mailbox full", recipient="*@full.example"),
        Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient="*@grey.example"),
    ]
    organization = await people(world, 25, domain="old.example")
    await people(world, 25, domain="full.example", organization=organization)
    await people(world, 25, domain="grey.example", organization=organization)
    await enforced(world, organization)
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        await looked(mailer)
        assert [row for row in await open_breakers(world) if row[0] == "domain"] == []


async def test_one_acceptance_in_between_keeps_a_domain_open_to_us(world: World, redis_url: str) -> None:
    world.relay.rules.append(replace(LATER, recipient="m[0-9].*@strict.example"))
    world.relay.rules.append(replace(LATER, recipient="m1[0-79].*@strict.example"))
    await enforced(world, await people(world, 21, domain="strict.example"))
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        await looked(mailer)
        assert await open_breakers(world) == []


async def test_who_closes_a_breaker_is_obeyed_and_it_stays_closed_for_as_long_as_told(world: World, redis_url: str) -> None:
    world.relay.rules.append(DEAD)
    run = await enforced(world, await people(world, 180, dead=180))
    async with mailers(world, redis_url) as (mailer,):
        await send(world, mailer)
        assert await open_breakers(world) == [("letter", "signed_out", f"run {run}", "open")]
        await close(world, "letter", "signed_out", hold="1 hour")
        await looked(mailer)
        await asyncio.sleep(0.1)
        await send(world, mailer)
        assert await open_breakers(world) == []
        assert (await world.status(run))["letters"]["refused"] == 180


async def test_a_killed_mailers_letters_take_no_place_among_the_first_for_good(world: World, redis_url: str) -> None:
    organization = await people(world, 150)
    run = await enforced(world, organization)
    async with mailers(world, redis_url, rules=replace(LONG, patience=0.2)) as (mailer,):
        hint = (await world.look())[0]
        claim = await world.claim(hint)
        assert mailer.mail is not None
        assert mailer.mail.breakers is not None
        await mailer.mail.breakers.mind_canaries(run, claim.stage)
        marked = await deliveries.mark(world.pool, claim, limit=250, members=None, lease=world.resources.lease, canaries=True)
        assert (len(marked), marked.held_back) == (100, frozenset({LetterKind.SIGNED_OUT}))
        await world.let_leases_end()
        world.history.mailer_crashes += 1
        for _ in range(8):
            await asyncio.sleep(0.25)
            await send(world, mailer)
            await world.hurry()
        assert (await world.status(run))["letters"]["accepted"] == 151
