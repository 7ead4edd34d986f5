"""A letter's way through a real SMTP conversation: accepted, refused at each stage, given back; with and without PIPELINING."""

import asyncio
import socket

import pytest

from jobs.ports import Receipt, Scope, SmtpStage
from tests.mailer_parts import ListRecorder, a_mailer, an_envelope, send, some_envelopes
from tests.relay import Act, Relay, Rule, Stage
from workers.mailer.terms import Terms


@pytest.fixture(params=[True, False], ids=["pipelining", "step by step"])
def pipelining(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_letter_is_accepted_with_the_relays_own_id(*, pipelining: bool) -> None:
    async with Relay(pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, [an_envelope(reference=7)])
        await mailer.aclose()
    envelope, receipt = recorder.receipts[0]
    assert envelope.reference == 7
    assert receipt == Receipt(
        scope=Scope.ACCEPTED, stage=SmtpStage.DOT, code=250, enhanced="2.0.0", text="Ok: queued as 1-1", relay_id="1-1"
    )
    assert relay.recipients() == {"ada@example.com": 1}
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert relay.commands[0] == (1, "EHLO client.test")


async def test_many_letters_are_each_accepted_once(*, pipelining: bool) -> None:
    async with Relay(pipelining=pipelining) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, some_envelopes(300))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 300}
    assert set(relay.recipients().values()) == {1}
    assert len(relay.recipients()) == 300


async def test_the_next_letter_rides_behind_the_final_dot() -> None:
    """Ten letters on one connection whose replies are 50 ms late: eleven ways there and back, not forty."""
    async with Relay(delay_seconds=0.05) as relay:
        mailer = a_mailer(relay, connections=1)
        await send(mailer, [an_envelope()])
        started = asyncio.get_running_loop().time()
        await send(mailer, some_envelopes(10))
        took = asyncio.get_running_loop().time() - started
        await mailer.aclose()
    round_trips = took / 0.05
    assert 11 <= round_trips < 20


async def test_content_arrives_as_it_was(*, pipelining: bool) -> None:
    contents = [
        b"..leading dots on the first line\r\n\r\n.\r\n.second\r\n",
        b"Subject: a dot between\r\n\r\nbefore\r\n.\r\nafter\r\n",
        b"Subject: dots\r\n\r\n....\r\n..\r\n.",
        b"no line end",
        b"Subject: a long one\r\n\r\n" + b".\r\n" * 40_000,
    ]
    async with Relay(pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=1)
        await send(mailer, [an_envelope(content=content) for content in contents])
        await mailer.aclose()
    assert relay.contents == [content if content.endswith(b"\r\n") else content + b"\r\n" for content in contents]


@pytest.mark.parametrize(
    ("stage", "reply", "scope", "code", "enhanced"),
    [
        ("mail", "451 4.3.0 try later", Scope.RELAY, 451, "4.3.0"),
        ("mail", "550 5.7.1 we do not like you", Scope.MESSAGE, 550, "5.7.1"),
        ("rcpt", "450 4.2.1 busy", Scope.RECIPIENT_FOR_NOW, 450, "4.2.1"),
        ("rcpt", "550 5.1.1 no such user", Scope.RECIPIENT, 550, "5.1.1"),
        ("rcpt", "552 5.2.2 mailbox full", Scope.RECIPIENT_FOR_NOW, 552, "5.2.2"),
        ("data", "451 4.7.1 not now", Scope.RECIPIENT_FOR_NOW, 451, "4.7.1"),
        ("data", "554 5.7.1 not you", Scope.MESSAGE, 554, "5.7.1"),
        ("dot", "451 4.2.0 try later", Scope.RECIPIENT_FOR_NOW, 451, "4.2.0"),
        ("dot", "454 Throttling failure: Maximum sending rate exceeded", Scope.RELAY, 454, None),
        ("dot", "554 5.6.0 content\n554 5.6.0 not liked", Scope.MESSAGE, 554, "5.6.0"),
    ],
)
async def test_a_refusal_is_sorted_and_the_letters_around_it_leave(
    *, pipelining: bool, stage: str, reply: str, scope: Scope, code: int, enhanced: str | None
) -> None:
    rule = Rule(stage=Stage(stage), reply=reply, recipient="*" if stage == "mail" else "m1@*", times=1, after=1)
    async with Relay([rule], pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(4))
        await mailer.aclose()
    receipt = recorder.of("m1@example.com")
    assert (receipt.scope, receipt.stage, receipt.code, receipt.enhanced) == (scope, SmtpStage(stage), code, enhanced)
    assert "\n" not in receipt.text
    assert relay.recipients() == {"m0@example.com": 1, "m2@example.com": 1, "m3@example.com": 1}
    assert relay.connections == 1


async def test_every_second_recipient_refused_disturbs_nobody(*, pipelining: bool) -> None:
    rules = [Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", recipient=f"m*[{odd}]@*") for odd in "13579"]
    async with Relay(rules, pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=2)
        recorder = await send(mailer, some_envelopes(50))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 25, Scope.RECIPIENT: 25}
    assert all(int(address[1 : address.index("@")]) % 2 == 0 for address in relay.recipients())


async def test_data_accepted_without_a_recipient_gets_an_empty_letter_to_nobody() -> None:
    """RFC 2920 3.1: the dot must be sent, the content must not."""
    rule = Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", recipient="m1@*")
    async with Relay([rule], data_without_recipients=True) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(3))
        await mailer.aclose()
    assert recorder.of("m1@example.com").scope is Scope.RECIPIENT
    assert list(relay.recipients()) == ["m0@example.com", "m2@example.com"]


async def test_too_many_messages_is_another_connection_now_and_nobodys_attempt(*, pipelining: bool) -> None:
    rule = Rule(stage=Stage.RCPT, reply="452 4.5.3 too many messages", after=2)
    async with Relay([rule], pipelining=pipelining) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(6))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 6}
    assert set(relay.recipients().values()) == {1}
    assert relay.connections >= 3
    assert mailer.retry_in_seconds == 0


async def test_a_letter_beyond_the_relays_size_is_not_begun() -> None:
    async with Relay(size=1000) as relay:
        mailer = a_mailer(relay)
        large = an_envelope("large@example.com", content=b"x" * 998 + b"\r\n" + b"\r\n")
        recorder = await send(mailer, [large, an_envelope()])
        await mailer.aclose()
    assert recorder.of("large@example.com").scope is Scope.MESSAGE
    assert list(relay.recipients()) == ["ada@example.com"]
    assert not [line for _, line in relay.commands if "large" in line]
    assert [line for _, line in relay.commands if line.startswith("MAIL")] == [
        f"MAIL FROM:<bounce@portcullis.test> SIZE={len(an_envelope().content)}"
    ]


@pytest.mark.parametrize(
    "address",
    ["a@b.c\r\nRCPT TO:<evil@example.com>", "a@b.c>", "<a@b.c", "a b@c.d", "a\x00@b.c", "ä@b.c", "nobody", "", "a" * 251 + "@b.c"],
)
async def test_an_address_that_could_break_out_never_reaches_the_relay(address: str) -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay)
        bad = an_envelope("x@y.z")
        bad = type(bad)(reference=0, sender=bad.sender, recipient=address, content=bad.content)
        recorder = await send(mailer, [bad, an_envelope()])
        await mailer.aclose()
    receipt = recorder.of(address)
    assert (receipt.scope, receipt.stage, receipt.code) == (Scope.RECIPIENT, SmtpStage.MAIL, None)
    assert list(relay.recipients()) == ["ada@example.com"]
    assert relay.verbs().count("RCPT") == 1


async def test_a_letter_that_cannot_begin_before_the_deadline_is_unsent() -> None:
    async with Relay([Rule(stage=Stage.CONNECT, act=Act.HANG)]) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, some_envelopes(3), seconds=0.1)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.UNSENT: 3}


async def test_a_letter_that_has_begun_is_finished_after_the_deadline() -> None:
    async with Relay(delay_seconds=0.1) as relay:
        mailer = a_mailer(relay, connections=1)
        await send(mailer, [an_envelope("first@example.com")])
        recorder = await send(mailer, some_envelopes(20), seconds=0.15)
        await mailer.aclose()
    scopes = recorder.scopes()
    assert 1 <= scopes[Scope.ACCEPTED] <= 4
    assert scopes[Scope.ACCEPTED] + scopes[Scope.UNSENT] == 20
    assert len(relay.recipients()) == scopes[Scope.ACCEPTED] + 1


async def test_nothing_to_send_opens_nothing() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay)
        await send(mailer, [])
        await mailer.aclose()
    assert relay.connections == 0


async def test_a_relay_that_knows_no_ehlo_is_greeted_with_helo() -> None:
    async with Relay([Rule(stage=Stage.HELO, reply="502 5.5.1 what?", times=1)]) as relay:
        mailer = a_mailer(relay)
        recorder = await send(mailer, some_envelopes(2))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 2}
    assert relay.verbs()[:2] == ["EHLO", "HELO"]


async def test_a_refused_connection_is_the_relays_matter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mailer = a_mailer(Relay(port=port))
    recorder = await send(mailer, some_envelopes(3))
    assert recorder.scopes() == {Scope.RELAY: 3}
    assert recorder.of("m0@example.com").stage is SmtpStage.CONNECT
    assert 9 < mailer.retry_in_seconds <= 10
    await mailer.aclose()


async def test_an_error_of_the_recorder_ends_its_wave_and_is_raised() -> None:
    class Broken(ListRecorder):
        def record(self, envelope: object, receipt: object) -> None:
            raise LookupError("no such row")

    async with Relay() as relay:
        mailer = a_mailer(relay)
        with pytest.raises(LookupError):
            await mailer.send(some_envelopes(20), Broken(), seconds=5)
        recorder = await send(mailer, some_envelopes(5))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 5}


async def test_idle_connections_say_goodbye() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, terms=Terms(idle_seconds=0.1))
        await send(mailer, [an_envelope()])
        assert mailer.status().connections == 1
        await asyncio.sleep(0.3)
        assert mailer.status().connections == 0
        await send(mailer, [an_envelope("later@example.com")])
        await mailer.aclose()
    assert relay.verbs().count("QUIT") == 2
    assert relay.connections == 2
