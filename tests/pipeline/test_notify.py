"""A batch of letters: once, twice, after a crash, too late, and to people who can't be written to."""

import asyncio
import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import asyncpg
import pytest

from jobs.domain.letters import LetterState
from jobs.domain.outcomes import Outcome
from jobs.errors import Obsolete
from jobs.recorder import LedgerRecorder
from jobs.resources import Resources
from jobs.stages import notify as notify_stage
from jobs.stages.notify import notify
from jobs.store import batches, deliveries
from tests.builders import Organization, a_member, an_organization
from tests.pipeline.world import Hint, World, with_lease
from tests.relay import Act, Rule, Stage


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def enforced(world: World, organization: Organization) -> tuple[int, Hint]:
    """Switch on and end every session; returns the run and the hint for the batch of those who were logged out."""
    run = await world.require(organization)
    await world.enforce_all(run)
    return run, (await world.look())[0]


def and_forgets(world: World) -> Resources:
    """A mailer that is killed before it writes anything down."""

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    assert world.resources.mail is not None
    return replace(world.resources, mail=replace(world.resources.mail, recorder=LedgerRecorder(never)))


async def killed_when(world: World, hint: Hint, condition: Any) -> None:
    """Let a mailer send, and kill it, without a word, as soon as the condition holds: nothing it would write at its end is written."""
    claim = await world.claim(hint)
    sending = asyncio.create_task(notify(and_forgets(world), claim))
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- what is waited for happens at the relay
            await asyncio.sleep(0.005)
    async with asyncio.timeout(20):
        while not sending.done():
            sending.cancel()
            await asyncio.sleep(0.01)
    world.history.mailer_crashes += 1


async def states(world: World, run: int, organization: Organization) -> Counter[str]:
    return Counter([(await world.letter(run, member))["state"] for member in organization.members])


async def test_once_everybody_gets_one_letter(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    await world.hand_over(hint)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3
    assert await states(world, run, organization) == Counter(accepted=3)
    batch = (await world.batches(run, "notice"))[0]
    assert (batch["state"], batch["accepted"]) == ("done", 3)
    assert batch["last_letter_at"] is not None


async def test_twice_nobody_gets_a_second_one(world: World, organization: Organization) -> None:
    _, hint = await enforced(world, organization)
    await world.hand_over(hint)
    await world.hand_over(hint)
    await asyncio.gather(*[world.hand_over(hint) for _ in range(3)])
    assert len(world.relay.accepted) == 3


async def test_at_the_same_time_by_three_mailers_nobody_gets_a_second_one(world: World, organization: Organization) -> None:
    _, hint = await enforced(world, organization)
    await asyncio.gather(*[world.hand_over(hint) for _ in range(3)])
    assert len(world.relay.accepted) == 3


async def test_killed_after_the_claim_and_before_any_letter_nothing_is_lost(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    await world.claim(hint)
    await world.let_leases_end()
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3


async def test_killed_between_the_commit_of_sending_and_the_first_byte_nothing_is_lost(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    claim = await world.claim(hint)
    marked = await deliveries.mark(world.pool, claim, limit=2, members=None, lease=world.resources.lease)
    assert [letter.letter for letter in marked] == ["signed_out", "signed_out"]
    assert await states(world, run, organization) == Counter(sending=2, owed=1)
    await world.let_leases_end()
    await world.run_to_end(run)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3


async def test_killed_after_the_relay_took_them_and_before_that_was_written_the_same_bytes_go_again(
    world: World, organization: Organization
) -> None:
    run, hint = await enforced(world, organization)
    await killed_when(world, hint, lambda: len(world.relay.accepted) == 3)
    assert await states(world, run, organization) == Counter(sending=3)
    await world.db.execute("UPDATE app.users SET display_name = 'Somebody Else', email = 'else@kestrel.example', locale = 'de'")
    await world.let_leases_end()
    await world.run_to_end(run)
    for member in organization.members:
        first, second = world.contents(member)
        assert first == second


async def test_after_a_crash_only_what_was_on_its_way_goes_again(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    slow = organization.members[2]
    assert slow.email
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.HANG, recipient=slow.email, times=1))
    claim = await world.claim(hint)
    sending = asyncio.create_task(notify(world.resources, claim))
    await world.until(lambda: states(world, run, organization), Counter(accepted=2, sending=1))
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    world.history.mailer_crashes += 1
    await world.let_leases_end()
    await world.run_to_end(run)
    assert [len(world.kinds(member)) for member in organization.members] == [1, 1, 1]


async def test_with_a_stale_token_it_neither_sends_nor_writes(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    zombie = await world.claim(hint)
    marked = await deliveries.mark(world.pool, zombie, limit=1, members=None, lease=world.resources.lease)
    await world.let_leases_end()
    await world.run_to_end(run)
    with pytest.raises(Obsolete):
        await notify(world.resources, zombie)
    outcome = deliveries.Settled(claim=zombie, member_id=marked[0].member_id, outcome=Outcome(state=LetterState.REFUSED))
    assert await deliveries.record(world.pool, [outcome]) == 0
    assert await states(world, run, organization) == Counter(accepted=3)


async def test_cancelled_before_the_claim_no_letter_leaves(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    await world.cancel(run)
    await world.hand_over(hint)
    status = await world.run_to_end(run)
    assert world.relay.accepted == []
    assert (status["state"], status["letters"]["cancelled"]) == ("cancelled", 4)


async def test_cancelled_between_two_waves_the_second_stays(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_stage, "WAVE", 2)
    run, hint = await enforced(world, organization)
    second = organization.members[1].email
    assert second
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.HANG, recipient=second, times=1))
    sending = asyncio.create_task(world.hand_over(hint))
    await world.until(lambda: states(world, run, organization), Counter(accepted=1, sending=1, owed=1))
    await world.cancel(run)
    world.hang_up()
    await sending
    status = await world.run_to_end(run)
    assert await states(world, run, organization) == Counter(accepted=1, cancelled=2)
    assert status["letters"] | {"accepted": 1, "cancelled": 3} == status["letters"]


async def test_superseded_meanwhile_only_the_new_runs_letters_leave(world: World, organization: Organization) -> None:
    first, hint = await enforced(world, organization)
    await world.lift(organization)
    second = await world.require(organization)
    await world.hand_over(hint)
    await world.run_to_end(second)
    await world.run_to_end(first)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3
    assert (await world.status(first))["letters"]["cancelled"] == 4


async def test_what_begun_before_a_lift_is_written_down_after_it(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    claim = await world.claim(hint)
    marked = await deliveries.mark(world.pool, claim, limit=2, members=None, lease=world.resources.lease)
    await world.lift(organization)
    outcomes = [Outcome(state=LetterState.REFUSED, reason="no"), Outcome(state=LetterState.OWED, seconds=60.0)]
    settled = [
        deliveries.Settled(claim=claim, member_id=letter.member_id, outcome=outcome)
        for letter, outcome in zip(marked, outcomes, strict=True)
    ]
    assert await deliveries.record(world.pool, settled) == 2
    await world.run_to_end(run)
    assert await states(world, run, organization) == Counter(refused=1, cancelled=2)


async def test_a_killed_mailers_letters_of_a_lifted_run_may_have_arrived_and_are_uncertain(
    world: World, organization: Organization
) -> None:
    run, hint = await enforced(world, organization)
    await killed_when(world, hint, lambda: len(world.relay.accepted) == 3)
    await world.lift(organization)
    await world.let_leases_end()
    status = await world.run_to_end(run)
    assert await states(world, run, organization) == Counter(uncertain=3)
    assert status["letters"]["uncertain"] == 3
    assert [world.kinds(member) for member in organization.members] == [["signed_out", "lifted"]] * 3


# Whom nobody can write to.

UNREACHABLE = {
    None: "no_address",
    "": "no_address",
    "not an address": "malformed_address",
    "a@b.c\r\nRCPT TO:<evil@example.com>": "malformed_address",
    "a@example.com\nBcc: evil@example.com": "malformed_address",
    "jörg@example.com": "unsupported_address",
    "x" * 300 + "@example.com": "malformed_address",
}


async def test_who_can_not_be_written_to_is_suppressed_with_the_reason_and_the_run_goes_on(world: World) -> None:
    organization = await an_organization(world.db)
    members = {email: await a_member(world.db, organization.id, email=email) for email in UNREACHABLE}
    idn = await a_member(world.db, organization.id, email="ada@bücher.example")
    run = await world.require(organization)
    status = await world.run_to_end(run)
    found = {email: await world.letter(run, member) for email, member in members.items()}
    assert {email: letter["reason"] for email, letter in found.items()} == UNREACHABLE
    assert {letter["state"] for letter in found.values()} == {"suppressed"}
    assert (await world.letter(run, idn))["state"] == "accepted"
    assert status["letters"]["suppressed"] == len(UNREACHABLE)
    assert [letter.recipient for letter in world.relay.accepted if "xn--" in letter.recipient] == ["ada@xn--bcher-kva.example"]
    assert await world.live(*members.values()) == []


HOSTILE = (
    "<script>alert(1)</script>",
    "Ada\r\nBcc: evil@example.com",
    "\u202eadA\u0007",
    "x" * 10_000,
    "=?utf-8?q?evil?=",
    "evil.example",
    " ",
)


async def test_hostile_names_make_letters_of_one_recipient_and_no_markup(world: World) -> None:
    organization = await an_organization(world.db, name="<b>Kestrel</b>\r\nBcc: evil@example.com", support_url="javascript:alert(1)")
    members = [await a_member(world.db, organization.id, name=name, locale="xx-nonsense", time_zone="Nowhere/Never") for name in HOSTILE]
    await world.run_to_end(await world.require(organization))
    assert [world.kinds(member) for member in members] == [["signed_out"]] * len(HOSTILE)
    assert not any("evil" in letter.recipient for letter in world.relay.accepted)
    for content in world.relay.contents:
        letter = message_from_bytes(content, policy=policy.default)
        html = letter.get_body(("html",))
        assert html is not None
        assert "Bcc" not in letter
        assert len(letter["To"].addresses) == 1
        assert re.findall("<script|javascript:|<b>Kestrel", html.get_content()) == []


# What recipients and relays say.


async def test_a_refused_recipient_is_refused_and_named_in_the_report(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    assert gone.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", recipient=gone.email))
    run = await world.require(organization)
    status = await world.run_to_end(run)
    letter = await world.letter(run, gone)
    assert (letter["state"], letter["reason"]) == ("refused", "rcpt 550 5.1.1 no such user")
    assert (status["state"], status["letters"]["refused"]) == ("done", 1)
    report = world.contents(organization.admin)[-1].replace(b"=\r\n", b"")
    assert gone.email.encode() in report


async def test_greylisting_is_tried_again_and_holds_the_run_for_some_minutes_only(world: World, organization: Organization) -> None:
    stubborn = organization.members[0]
    assert stubborn.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=stubborn.email, times=4))
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    letter = await world.letter(run, stubborn)
    assert (letter["state"], letter["attempts"]) == ("owed", 1)
    assert await world.state(run) == "running"
    assert await world.step("notify_batch") == [], "not due"
    status = await world.run_to_end(run)
    assert (status["state"], status["letters"]["deferred"]) == ("done", 1)
    assert (await world.letter(run, stubborn))["attempts"] == 3
    assert stubborn.email.encode() in world.contents(organization.admin)[-1].replace(b"=\r\n", b"")
    await world.hurry()
    await world.step()
    assert ((await world.letter(run, stubborn))["state"], (await world.letter(run, stubborn))["attempts"]) == ("deferred", 4)
    await world.hurry()
    await world.step()
    assert (await world.letter(run, stubborn))["state"] == "accepted"
    assert (await world.status(run))["letters"]["deferred"] == 0


async def test_a_recipient_that_never_takes_it_is_given_up_after_two_days(world: World, organization: Organization) -> None:
    full = organization.members[0]
    assert full.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="452 4.2.2 mailbox full", recipient=full.email))
    run = await world.require(organization)
    await world.run_to_end(run)

    async def is_given_up() -> bool:
        return bool((await world.letter(run, full))["state"] == "refused")

    await world.step_until(is_given_up)
    assert await world.unfinished() == []


async def test_a_deferred_letter_stays_deferred_while_the_relay_is_away(world: World, organization: Organization) -> None:
    stubborn = organization.members[0]
    assert stubborn.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=stubborn.email, times=3))
    run = await world.require(organization)
    await world.run_to_end(run)
    world.relay.rules.append(Rule(stage=Stage.MAIL, reply="421 4.3.2 shutting down"))
    await world.hurry()
    await world.step()
    assert (await world.letter(run, stubborn))["state"] == "deferred"
    status = await world.status(run)
    assert (status["letters"]["deferred"], status["letters"]["owed"]) == (1, 0)
    world.relay.rules.clear()


async def test_a_deferred_letter_whose_mailer_was_killed_is_deferred_again(world: World, organization: Organization) -> None:
    stubborn = organization.members[0]
    assert stubborn.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=stubborn.email, times=3))
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.hurry()
    (hint,) = await world.look()
    claim = await world.claim(hint)
    await deliveries.mark(world.pool, claim, limit=9, members=None, lease=world.resources.lease)
    await world.let_leases_end()
    (hint,) = await world.look()
    claim = await world.claim(hint)
    await deliveries.reclaim(world.pool, claim)
    assert (await world.letter(run, stubborn))["state"] == "deferred"
    await world.let_leases_end()
    await world.step()
    assert (await world.letter(run, stubborn))["state"] == "accepted"


async def test_one_answer_in_doubt_is_tried_once_more_with_the_same_bytes(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient=member.email, times=1))
    run = await world.require(organization)
    await world.run_to_end(run)
    letter = await world.letter(run, member)
    assert (letter["state"], letter["doubts"]) == ("accepted", 1)
    first, second = world.contents(member)
    assert first == second


async def test_two_answers_in_doubt_are_the_end_of_it_and_no_secret(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.DROP, recipient=member.email))
    run = await world.require(organization)
    status = await world.run_to_end(run)
    letter = await world.letter(run, member)
    assert (letter["state"], letter["doubts"]) == ("uncertain", 2)
    assert (status["state"], status["letters"]["uncertain"]) == ("done", 1)
    assert member.email.encode() in world.contents(organization.admin)[-1].replace(b"=\r\n", b"")


async def test_a_letter_that_the_relay_refuses_as_such_holds_back_its_batch(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_stage, "WAVE", 1)
    world.relay.rules.append(Rule(stage=Stage.DOT, reply="554 5.7.26 not authenticated"))
    run, hint = await enforced(world, organization)
    await world.hand_over(hint)
    assert world.relay.verbs().count("DATA") == 1, "no second letter was tried"
    (batch, _) = await world.batches(run, "notice")
    assert (batch["state"], batch["attempts"]) == ("open", 1)
    assert batch["error"] == "the relay refuses the letter: dot 554 5.7.26 not authenticated"
    assert "not authenticated" in str((await world.status(run))["errors"])
    assert await states(world, run, organization) == Counter(owed=3)
    world.relay.rules.clear()
    assert (await world.run_to_end(run))["letters"]["accepted"] == 4


async def test_a_letter_that_the_relay_always_refuses_is_put_aside_for_a_human(world: World, organization: Organization) -> None:
    world.relay.rules.append(Rule(stage=Stage.MAIL, reply="550 5.7.1 sender rejected"))
    run = await world.require(organization)
    await world.enforce_all(run)

    async def is_dead() -> bool:
        return [batch["state"] for batch in await world.batches(run, "notice")] == ["dead", "dead"]

    for _ in range(4 * batches.MAX_ATTEMPTS):
        await world.step()
        await world.db.execute("UPDATE portcullis.batch SET next_at = now() WHERE next_at <= now() + interval '60 seconds'")
        await world.db.execute("UPDATE portcullis.delivery SET next_at = next_at - interval '60 seconds'")
        if await is_dead():
            break
    assert await is_dead()
    assert (await world.status(run))["state"] == "running"
    world.relay.rules.clear()
    assert await world.replay(run) == 2
    assert (await world.run_to_end(run))["letters"]["accepted"] == 4


async def test_the_relay_is_away_for_all_of_the_enforcing_and_nothing_waits_for_it_or_is_lost(
    world: World, organization: Organization
) -> None:
    world.relay.rules.append(Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now"))
    run = await world.require(organization)
    for _ in range(4):
        await world.step()
        await world.hurry()
    status = await world.status(run)
    assert (status["sessions_ended"], status["letters"]["accepted"]) == (3, 0)
    assert all(batch["attempts"] <= 1 for batch in await world.batches(run, "notice")), "nobody's attempt"
    assert "the relay is away" in str(status["errors"])
    world.relay.rules.clear()
    await asyncio.sleep(0.1)
    assert (await world.run_to_end(run))["letters"]["accepted"] == 4
    assert [(await world.letter(run, member))["attempts"] for member in organization.members] == [0, 0, 0]


async def test_a_letter_that_can_not_be_composed_holds_up_no_other(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = world.resources.mail
    assert mail is not None
    compose = mail.composer.compose
    broken = str(organization.members[1].id)

    def sometimes(kind: Any, occasion: Any, addressee: Any, **options: Any) -> Any:
        if addressee.member_id == broken:
            raise ZeroDivisionError
        return compose(kind, occasion, addressee, **options)

    monkeypatch.setattr(mail.composer, "compose", sometimes)
    run = await world.require(organization)
    status = await world.run_to_end(run)
    assert (status["state"], status["letters"]["suppressed"]) == ("done", 1)
    assert (await world.letter(run, organization.members[1]))["reason"] == "not_composed"


async def test_an_outcome_that_can_not_be_written_becomes_an_attempt_and_not_letters_without_end(
    world: World, organization: Organization
) -> None:
    run, hint = await enforced(world, organization)
    poison = organization.members[1]

    async def write(settled: Any) -> None:
        if any(one.member_id == poison.id for one in settled):
            raise ValueError("a row that the table refuses")
        await deliveries.record(world.pool, settled)

    mail = world.resources.mail
    assert mail is not None
    recorder = LedgerRecorder(write, seconds=0.02)
    recording = asyncio.create_task(recorder.run())
    resources = replace(world.resources, mail=replace(mail, recorder=recorder))
    for attempts in range(batches.MAX_ATTEMPTS + 1):  # the first time others are sent as well, which is progress
        await world.hand_over(hint, resources=resources)
        batch = (await world.batches(run, "notice"))[0]
        assert (batch["state"], batch["attempts"]) == ("open", attempts)
        assert "could not be written down" in batch["error"]
        await world.hurry()
        hint = replace(hint, token=batch["token"])
    recording.cancel()
    assert await states(world, run, organization) == Counter(accepted=2, sending=1)
    assert len(world.kinds(poison)) == batches.MAX_ATTEMPTS + 1
    await world.step()
    assert (await world.batches(run, "notice"))[0]["state"] == "dead"
    world.history.mailer_crashes = batches.MAX_ATTEMPTS + 1
    await world.replay(run)
    await world.run_to_end(run)


# Leases and shutdowns.


async def test_a_slow_relay_keeps_its_lease_even_if_a_connection_to_the_database_is_lost_meanwhile(
    world: World, organization: Organization
) -> None:
    run, hint = await enforced(world, organization)
    last = organization.members[2].email
    assert last
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.HANG, recipient=last, times=1))
    sending = asyncio.create_task(world.hand_over(hint, resources=with_lease(world.resources, 1.5)))
    await world.until(lambda: states(world, run, organization), Counter(accepted=2, sending=1))
    async with world.db.transaction():
        await world.db.execute("SELECT FROM portcullis.batch WHERE batch_id = $1 FOR UPDATE", hint.batch)
        (renewing,) = await world.somebody_waits()
        await world.terminate(renewing)
    await asyncio.sleep(2)
    assert await world.look() == [], "the lease is still held"
    world.hang_up()
    await sending
    await world.run_to_end(run)
    assert [len(world.kinds(member)) for member in organization.members] == [1, 1, 1]


async def test_a_mailer_that_drains_gives_its_batch_back_between_two_waves(
    world: World, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_stage, "WAVE", 1)
    run, hint = await enforced(world, organization)
    world.relay.delay_seconds = 0.05
    sending = asyncio.create_task(world.hand_over(hint))
    await world.until(lambda: states(world, run, organization), Counter(accepted=1, sending=1, owed=1))
    world.resources.draining.set()
    await sending
    batch = (await world.batches(run, "notice"))[0]
    assert (batch["state"], batch["leased_until"], batch["attempts"], batch["owed"]) == ("open", None, 0, 1)
    world.resources.draining.clear()
    await world.run_to_end(run)
    assert [len(world.kinds(member)) for member in organization.members] == [1, 1, 1]


async def test_a_mailer_whose_patience_is_over_writes_down_what_was_accepted_before_it_gives_back(
    world: World, organization: Organization
) -> None:
    run, hint = await enforced(world, organization)
    slow = organization.members[2]
    assert slow.email
    world.relay.rules.append(Rule(stage=Stage.DATA, act=Act.HANG, recipient=slow.email, times=1))
    held = asyncio.Event()

    async def late(settled: Any) -> None:
        await held.wait()
        await deliveries.record(world.pool, settled)

    mail = world.resources.mail
    assert mail is not None
    recorder = LedgerRecorder(late, seconds=0.02)
    recording = asyncio.create_task(recorder.run())
    resources = replace(world.resources, mail=replace(mail, recorder=recorder))
    sending = asyncio.create_task(world.hand_over(hint, resources=resources))
    await world.until_so(lambda: len(world.relay.accepted) == 2)
    sending.cancel()
    await asyncio.sleep(0.1)
    assert await world.look() == [], "not given back while what was accepted is not written down"
    held.set()
    with suppress(asyncio.CancelledError):
        await sending
    await world.run_to_end(run)
    recording.cancel()
    assert [len(world.kinds(member)) for member in organization.members] == [1, 1, 1]


async def test_an_enforcer_that_gets_a_hint_for_letters_puts_it_aside_with_a_reason(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    await world.hand_over(hint, resources=replace(world.resources, mail=None))
    assert "this process has no mailer" in (await world.batches(run, "notice"))[0]["error"]
    assert isinstance(world.db, asyncpg.Connection)
    await world.run_to_end(run)


@pytest.mark.survives("a small organization beside a large one", "I9")
async def test_a_batch_makes_room_after_a_wave_when_somebody_with_little_in_flight_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_stage, "WAVE", 3)
    run, hint = await enforced(world, await an_organization(world.db, members=10))
    answers = iter([True, False, False])

    async def others_wait() -> bool:
        return next(answers)

    assert world.resources.mail is not None
    await world.hand_over(hint, resources=replace(world.resources, mail=replace(world.resources.mail, others_wait=others_wait)))
    assert len(world.relay.accepted) == 3
    again = next(other for other in await world.look() if other.batch == hint.batch)
    await world.hand_over(again)
    assert len(world.relay.accepted) > 3
    await world.run_to_end(run)
