"""Connections that end at the wrong moment: what is in doubt, what is not, and that nothing is read as the answer to something else."""

import asyncio

import pytest

from jobs.ports import Envelope, Receipt, Scope, SmtpStage
from tests.mailer_parts import ListRecorder, a_mailer, an_envelope, send, some_envelopes, until
from tests.relay import Act, Relay, Rule, Stage
from workers.mailer.terms import Terms

IMPATIENT = Terms(command_seconds=0.2, dot_seconds=0.3, connect_seconds=0.3)


@pytest.fixture(params=[True, False], ids=["pipelining", "step by step"])
def pipelining(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
async def test_a_drop_before_the_content_is_the_relays_matter_and_no_doubt(*, pipelining: bool, stage: Stage) -> None:
    async with Relay([Rule(stage=stage, act=Act.DROP)], pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    assert recorder.of("ada@example.com").scope is Scope.RELAY
    assert not relay.accepted


@pytest.mark.parametrize("act", [Act.DROP, Act.ACCEPT_AND_DROP])
async def test_a_drop_after_the_dot_is_in_doubt_whatever_the_relay_did_with_it(*, pipelining: bool, act: Act) -> None:
    async with Relay([Rule(stage=Stage.DOT, act=act)], pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    receipt = recorder.of("ada@example.com")
    assert (receipt.scope, receipt.stage, receipt.code) == (Scope.UNCERTAIN, SmtpStage.DOT, None)
    assert len(relay.accepted) == (1 if act is Act.ACCEPT_AND_DROP else 0)


async def test_the_letter_pipelined_behind_a_lost_dot_is_never_in_doubt() -> None:
    """It goes to another connection: its content was not written, so nobody can have it."""
    rule = Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient="m3@*", times=1)
    async with Relay([rule]) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(8))
        await mailer.aclose()
    assert recorder.of("m3@example.com").scope is Scope.UNCERTAIN
    assert recorder.scopes() == {Scope.ACCEPTED: 7, Scope.UNCERTAIN: 1}
    assert set(relay.recipients().values()) == {1}
    assert relay.connections == 2


async def test_the_first_two_letters_of_a_connection_lost_at_the_first_dot() -> None:
    """Nothing shows that this relay works, so the second letter goes back; still it is not in doubt."""
    async with Relay([Rule(stage=Stage.DOT, act=Act.DROP)]) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(2))
        await mailer.aclose()
    assert recorder.of("m0@example.com").scope is Scope.UNCERTAIN
    second = recorder.of("m1@example.com")
    assert (second.scope, second.stage) == (Scope.RELAY, SmtpStage.MAIL)


async def test_closing_after_every_letter_costs_connections_and_nothing_else(*, pipelining: bool) -> None:
    rules = [Rule(stage=Stage.MAIL, act=Act.DROP, after=1)]
    async with Relay(rules, pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=2)
        recorder = await send(mailer, some_envelopes(10))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 10}
    assert set(relay.recipients().values()) == {1}
    assert mailer.retry_in_seconds == 0


async def test_421_between_letters_is_the_end_of_a_connection_not_of_the_relay(*, pipelining: bool) -> None:
    async with Relay([Rule(stage=Stage.MAIL, reply="421 4.7.0 too many, closing", after=3)], pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(10))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 10}
    assert relay.connections == 4
    assert mailer.retry_in_seconds == 0


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_421_to_everything_is_nobodys_attempt_and_opens_the_breaker(*, pipelining: bool, stage: Stage) -> None:
    async with Relay([Rule(stage=stage, reply="421 4.3.2 shutting down")], pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, some_envelopes(30))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.RELAY: 30}
    assert not relay.accepted
    assert mailer.retry_in_seconds > 9
    assert relay.connections < 15


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_a_silent_relay_is_waited_for_as_long_as_the_stage_allows(*, pipelining: bool, stage: Stage) -> None:
    async with Relay([Rule(stage=stage, act=Act.HANG)], pipelining=pipelining) as relay:
        mailer = a_mailer(relay, terms=IMPATIENT)
        started = asyncio.get_running_loop().time()
        recorder = await send(mailer, [an_envelope()])
        took = asyncio.get_running_loop().time() - started
        await mailer.aclose()
    receipt = recorder.of("ada@example.com")
    assert receipt.scope is (Scope.UNCERTAIN if stage is Stage.DOT else Scope.RELAY)
    assert receipt.stage is SmtpStage(stage)
    assert took >= (0.29 if stage is Stage.DOT else 0.19)


async def test_slow_bytes_do_not_stretch_a_wait() -> None:
    """20 ms a byte: no single read is late, the reply is."""
    async with Relay([Rule(stage=Stage.RCPT, reply="250 2.1.5 " + "ok " * 50)]) as relay:
        mailer = a_mailer(relay, terms=IMPATIENT, connections=1)
        await send(mailer, [an_envelope("warm-up@example.com")])
        relay.byte_seconds = 0.02
        recorder = await send(mailer, [an_envelope()], seconds=5)
        await mailer.aclose()
    assert recorder.of("ada@example.com").scope is Scope.RELAY
    assert len(relay.accepted) == 1


async def test_bytes_in_any_pieces_are_understood() -> None:
    async with Relay(byte_seconds=0.0001) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(3))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 3}


@pytest.mark.parametrize("nonsense", ["what?", "25", "999 no such code", "250_ok", "150 too early", "250-" + "x" * 20_000])
async def test_a_reply_of_no_protocol_ends_the_connection(nonsense: str) -> None:
    async with Relay([Rule(stage=Stage.RCPT, reply=nonsense)]) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    assert recorder.of("ada@example.com").scope is Scope.RELAY
    assert not relay.accepted


async def test_a_reply_that_nobody_asked_for_ends_the_connection() -> None:
    """Otherwise it would be read as the answer to the next MAIL, and every answer after it would be another letter's."""
    rule = Rule(stage=Stage.DOT, reply="250 2.0.0 ok\r\n250 2.0.0 and one more", recipient="m0@*")
    async with Relay([rule]) as relay:
        mailer = a_mailer(relay, connections=1)
        await send(mailer, some_envelopes(1))
        await until(lambda: mailer.status().connections == 0)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 1}
    assert relay.connections == 2


async def test_250_instead_of_354_is_out_of_step_and_the_content_stays_here(*, pipelining: bool) -> None:
    async with Relay([Rule(stage=Stage.DATA, reply="250 2.0.0 ok")], pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    assert recorder.of("ada@example.com").scope is Scope.RELAY
    assert not relay.contents
    assert "Hello" not in [line for _, line in relay.commands]


async def test_354_in_answer_to_the_dot_leaves_doubt() -> None:
    """It answers something, but not this; whether the letter was taken nobody can say."""
    async with Relay([Rule(stage=Stage.DOT, reply="354 go on")]) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope()])
        await mailer.aclose()
    assert recorder.of("ada@example.com").scope is Scope.UNCERTAIN


async def test_a_cancelled_call_gives_every_letter_its_receipt_and_closes_its_connections() -> None:
    async with Relay([Rule(stage=Stage.DOT, act=Act.HANG)]) as relay:
        mailer = a_mailer(relay, connections=2)
        recorder = ListRecorder()
        call = asyncio.create_task(mailer.send(some_envelopes(40), recorder, seconds=10))
        await until(lambda: relay.verbs().count("DATA") >= 2)
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert recorder.scopes() == {Scope.UNCERTAIN: 2, Scope.UNSENT: 38}
        assert mailer.status().connections == 0
        await until(lambda: relay.open_now == 0)
        await mailer.aclose()


async def test_after_a_cancelled_call_no_answer_is_read_as_anothers(*, pipelining: bool) -> None:
    """The trap of a shared client: the next MAIL reads the cancelled RCPT's 250."""
    rules = [Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", recipient="bad@*")]
    async with Relay(rules, pipelining=pipelining, delay_seconds=0.02) as relay:
        mailer = a_mailer(relay, connections=1)
        for moment in range(12):
            call = asyncio.create_task(mailer.send(some_envelopes(20, "cancelled.example"), ListRecorder(), seconds=10))
            await asyncio.sleep(0.01 * moment)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            recorder = await send(mailer, [an_envelope(f"good{moment}@example.com"), an_envelope("bad@example.com")])
            assert recorder.of(f"good{moment}@example.com").scope is Scope.ACCEPTED
            assert recorder.of("bad@example.com").scope is Scope.RECIPIENT
        await mailer.aclose()
    assert all(relay.recipients()[f"good{moment}@example.com"] == 1 for moment in range(12))


@pytest.mark.parametrize("moment", [2, 3, 4, 5])
async def test_cancelling_one_wave_leaves_no_doubt_about_the_others_letters(moment: int) -> None:
    async with Relay(delay_seconds=0.05) as relay:
        mailer = a_mailer(relay, connections=1)
        kept, dropped = ListRecorder(), ListRecorder()
        keeping = asyncio.create_task(mailer.send(some_envelopes(6, "kept.example"), kept, seconds=10))
        dropping = asyncio.create_task(mailer.send(some_envelopes(6, "dropped.example"), dropped, seconds=10))
        await until(lambda: relay.letters >= moment)
        dropping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropping
        await keeping
        await mailer.aclose()
    assert kept.scopes() == {Scope.ACCEPTED: 6}
    assert sum(dropped.scopes().values()) == 6
    assert Scope.RELAY not in dropped.scopes()
    never_written = {envelope.recipient for envelope, receipt in dropped.receipts if receipt.scope is Scope.UNSENT}
    assert not never_written & relay.recipients().keys()
    assert set(relay.recipients().values()) == {1}


async def test_every_receipt_agrees_with_the_relays_own_count() -> None:
    """A storm of drops, 421s and refusals: accepted is accepted, what was never written arrived nowhere."""
    rules = [
        Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, chance=0.03),
        Rule(stage=Stage.DOT, act=Act.DROP, chance=0.03),
        Rule(stage=Stage.DOT, reply="451 4.2.0 later", chance=0.05),
        Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", chance=0.05),
        Rule(stage=Stage.MAIL, reply="421 4.3.2 closing", chance=0.02),
        Rule(stage=Stage.DATA, act=Act.DROP, chance=0.02),
        Rule(stage=Stage.DATA, reply="451 4.3.0 later", chance=0.02),
    ]
    async with Relay(rules, seed=11) as relay:
        mailer = a_mailer(relay)
        owed: list[Envelope] = some_envelopes(1500)
        seen: list[tuple[Envelope, Receipt]] = []
        while owed:
            recorder = await send(mailer, owed)
            seen += recorder.receipts
            owed = [envelope for envelope, receipt in recorder.receipts if receipt.scope is Scope.RELAY]
            mailer._staff.breaker.reset()
        await mailer.aclose()
    taken = relay.recipients()
    assert max(taken.values()) == 1
    accepted = {envelope.recipient for envelope, receipt in seen if receipt.scope is Scope.ACCEPTED}
    doubtful = {envelope.recipient for envelope, receipt in seen if receipt.scope is Scope.UNCERTAIN}
    assert accepted <= taken.keys() <= accepted | doubtful
    assert {Scope.ACCEPTED, Scope.UNCERTAIN, Scope.RECIPIENT, Scope.RECIPIENT_FOR_NOW} <= {receipt.scope for _, receipt in seen}
