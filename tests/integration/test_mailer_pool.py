"""The pool: how many connections, for how long, in whose turn; and what it does while the relay is away."""

import asyncio

import pytest

from jobs.ports import Scope, SmtpStage
from tests.mailer_parts import ListRecorder, a_mailer, an_envelope, send, some_envelopes, until
from tests.relay import Act, Relay, Rule, Stage
from workers.mailer import Fleet
from workers.mailer.breaker import BreakerState, RelayBreaker
from workers.mailer.pace import Pace
from workers.mailer.terms import Terms
from workers.settings import Settings


async def test_a_connection_is_left_after_its_letters() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=1, terms=Terms(letters=4))
        recorder = await send(mailer, some_envelopes(10))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 10}
    per_connection = [sum(letter.connection == number for letter in relay.accepted) for number in (1, 2, 3)]
    assert per_connection == [4, 4, 2]
    assert relay.connections == 3
    assert relay.verbs().count("QUIT") == 3


async def test_a_connection_is_left_after_its_time() -> None:
    async with Relay(delay_seconds=0.02) as relay:
        mailer = a_mailer(relay, connections=1, terms=Terms(lifetime_seconds=0.1))
        recorder = await send(mailer, some_envelopes(20))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 20}
    assert 2 <= relay.connections <= 8


async def test_the_relays_own_limit_of_letters_holds() -> None:
    """RFC 9422: LIMITS MAILMAX."""
    async with Relay(extensions=("LIMITS RCPTMAX=5 MAILMAX=3",)) as relay:
        mailer = a_mailer(relay, connections=1)
        await send(mailer, some_envelopes(6))
        await mailer.aclose()
    assert relay.connections == 2


async def test_without_a_limit_one_connection_serves_them_all() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=1, terms=Terms(letters=0))
        await send(mailer, some_envelopes(250))
        await mailer.aclose()
    assert relay.connections == 1


async def test_connections_start_at_five_and_grow_to_the_limit_with_success() -> None:
    async with Relay(delay_seconds=0.02) as relay:
        mailer = a_mailer(relay, connections=9)
        call = asyncio.create_task(send(mailer, some_envelopes(400)))
        await until(lambda: relay.open_now >= 5)
        assert mailer.status().window == 5
        await call
        assert mailer.status().window == 9
        assert relay.most_open == 9
        await mailer.aclose()


async def test_few_letters_are_not_worth_many_connections() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=9)
        await send(mailer, some_envelopes(5))
        await mailer.aclose()
    assert relay.connections == 1


async def test_a_relay_that_refuses_more_connections_is_not_asked_again_and_again() -> None:
    """It takes three at a time and says 421 to the fourth: no letter suffers, the breaker stays closed."""

    class Narrow(Relay):
        def rule_for(self, stage: Stage, recipient: str, letters: int) -> Rule | None:
            if stage is Stage.CONNECT and self.open_now > 3:
                return Rule(stage=stage, reply="421 4.7.0 too many connections")
            return super().rule_for(stage, recipient, letters)

    async with Narrow(delay_seconds=0.005) as relay:
        mailer = a_mailer(relay, connections=16)
        recorder = await send(mailer, some_envelopes(300))
        status = mailer.status()
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 300}
    assert status.breaker is BreakerState.CLOSED
    assert relay.connections < 12


async def test_two_waves_take_turns() -> None:
    """Twenty letters beside five hundred: done when twenty of the others are, not behind all of them."""
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=2)
        large = asyncio.create_task(send(mailer, some_envelopes(500, "large.example")))
        await until(lambda: relay.letters >= 20)
        before = relay.letters
        await send(mailer, some_envelopes(20, "small.example"))
        between = relay.letters - before
        await large
        await mailer.aclose()
    assert between <= 20 + 20 + 15


async def test_no_letter_begins_without_room_for_its_receipt() -> None:
    """At most the limit, and two letters a connection, are taken by the relay and not committed: the bound after a crash."""
    connections, limit = 2, 10
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=connections)
        recorder = ListRecorder(limit=limit)
        call = asyncio.create_task(mailer.send(some_envelopes(100), recorder, seconds=20))
        committed = 0
        while not call.done():
            await asyncio.sleep(0.02)
            assert relay.letters - committed <= limit + 2 * connections
            committed += recorder.uncommitted
            recorder.commit()
        await call
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 100}


async def test_a_wave_without_room_does_not_hold_up_another() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=1)
        full = ListRecorder(limit=3)
        waiting = asyncio.create_task(mailer.send(some_envelopes(30, "full.example"), full, seconds=1))
        await until(lambda: full.uncommitted >= 3)
        recorder = await send(mailer, some_envelopes(30))
        assert recorder.scopes() == {Scope.ACCEPTED: 30}
        await waiting
        await mailer.aclose()
    assert full.scopes()[Scope.ACCEPTED] <= 3 + 2
    assert full.scopes()[Scope.UNSENT] == 30 - full.scopes()[Scope.ACCEPTED]


async def test_a_recorder_that_only_answers_in_a_task_is_asked_there() -> None:
    class Patient(ListRecorder):
        async def room(self) -> None:
            async with asyncio.timeout(1):
                await asyncio.sleep(0)

    async with Relay() as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = Patient()
        await mailer.send(some_envelopes(10), recorder, seconds=5)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 10}


async def test_a_recorder_whose_room_fails_ends_its_wave() -> None:
    class Broken(ListRecorder):
        async def room(self) -> None:
            raise LookupError("the database is gone")

    async with Relay() as relay:
        mailer = a_mailer(relay)
        recorder = Broken()
        with pytest.raises(LookupError):
            await mailer.send(some_envelopes(4), recorder, seconds=5)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.UNSENT: 4}


async def test_new_connections_keep_the_pace() -> None:
    """Two a minute, each good for one letter: the third letter meets its deadline instead."""
    async with Relay() as relay:
        mailer = a_mailer(relay, connections=4, connections_per_minute=2, terms=Terms(letters=1))
        recorder = await send(mailer, some_envelopes(5), seconds=0.5)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 2, Scope.UNSENT: 3}
    assert relay.connections == 2


async def test_a_pace_is_so_many_in_any_minute() -> None:
    pace = Pace(2)
    for now in (0.0, 10.0):
        assert pace.wait(now) == 0
        pace.started(now)
    assert pace.wait(10.0) == 50
    assert pace.wait(59.0) == 1
    assert pace.wait(60.0) == 0
    pace.started(60.0)
    assert pace.wait(60.0) == 10


async def test_draining_gives_back_what_has_not_begun_and_finishes_what_has() -> None:
    async with Relay(delay_seconds=0.05) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = ListRecorder()
        call = asyncio.create_task(mailer.send(some_envelopes(50), recorder, seconds=20))
        await until(lambda: relay.letters >= 2)
        await mailer.aclose()
        await call
        assert set(recorder.scopes()) == {Scope.ACCEPTED, Scope.UNSENT}
        assert len(relay.accepted) == recorder.scopes()[Scope.ACCEPTED]
        assert (await send(mailer, some_envelopes(3))).scopes() == {Scope.UNSENT: 3}
        await mailer.aclose()
    assert relay.verbs()[-1] == "QUIT"


async def test_closing_waits_for_answers_no_longer_than_told() -> None:
    async with Relay([Rule(stage=Stage.DOT, act=Act.HANG)]) as relay:
        mailer = a_mailer(relay)
        recorder = ListRecorder()
        call = asyncio.create_task(mailer.send([an_envelope()], recorder, seconds=20))
        await until(lambda: "DATA" in relay.verbs())
        await asyncio.sleep(0.05)
        await mailer.aclose(seconds=0.1)
        await call
    assert recorder.scopes() == {Scope.UNCERTAIN: 1}


async def test_while_the_relay_is_away_letters_come_back_at_once() -> None:
    async with Relay([Rule(stage=Stage.CONNECT, reply="554 5.3.2 go away")]) as relay:
        mailer = a_mailer(relay)
        await send(mailer, some_envelopes(3))
        connections = relay.connections
        recorder = await send(mailer, some_envelopes(200))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.RELAY: 200}
    assert relay.connections == connections
    status = mailer.status()
    assert status.breaker is BreakerState.OPEN
    assert status.trouble is not None
    assert (status.trouble.receipt.stage, status.trouble.receipt.code) == (SmtpStage.CONNECT, 554)
    receipt = recorder.of("m0@example.com")
    assert (receipt.stage, receipt.code, receipt.enhanced) == (SmtpStage.CONNECT, 554, "5.3.2")


async def test_why_the_relay_is_away_names_no_recipient() -> None:
    """It becomes every waiting letter's reason, other organizations' too."""
    rule = Rule(stage=Stage.RCPT, reply="454 4.7.1 <first@secret.example>: relay access denied")
    async with Relay([rule]) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(40))
        await mailer.aclose()
    trouble = mailer.status().trouble
    assert trouble is not None
    assert (trouble.receipt.code, trouble.receipt.text) == (454, "")
    reasons = [receipt.text for _, receipt in recorder.receipts]
    assert reasons.count("") >= 30
    assert sum("secret" in reason for reason in reasons) <= 6


async def test_one_probe_tries_a_relay_that_was_away_and_success_lets_all_go_on() -> None:
    breaker = RelayBreaker(first_seconds=0.1)
    async with Relay([Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now")]) as relay:
        mailer = a_mailer(relay, breaker=breaker)
        await send(mailer, some_envelopes(20))
        failed = relay.connections
        await asyncio.sleep(0.12)
        assert breaker.state is BreakerState.PROBING
        recorder = await send(mailer, some_envelopes(200))
        assert recorder.scopes() == {Scope.RELAY: 200}
        assert relay.connections == failed + 1
        assert 0.1 < mailer.retry_in_seconds <= 0.2
        relay.rules.clear()
        await asyncio.sleep(0.22)
        recorder = await send(mailer, some_envelopes(200))
        assert recorder.scopes() == {Scope.ACCEPTED: 200}
        assert mailer.status().breaker is BreakerState.CLOSED
        assert mailer.retry_in_seconds == 0
        await mailer.aclose()


async def test_one_letter_that_the_relay_chokes_on_does_not_stop_the_others() -> None:
    async with Relay([Rule(stage=Stage.RCPT, act=Act.DROP, recipient="m17@*")]) as relay:
        mailer = a_mailer(relay, connections=4)
        recorder = await send(mailer, some_envelopes(60))
        await mailer.aclose()
    assert recorder.of("m17@example.com").scope is Scope.RELAY
    assert recorder.scopes() == {Scope.ACCEPTED: 59, Scope.RELAY: 1}
    assert mailer.status().breaker is BreakerState.CLOSED


async def test_a_mailer_comes_from_the_settings() -> None:
    async with Relay() as relay:
        settings = Settings.load(
            {
                "DATABASE_URL": "postgresql://x",
                "REDIS_URL": "redis://x",
                "SMTP_URL": f"smtp://127.0.0.1:{relay.port}",
                "MAIL_FROM": "Security <security@portcullis.test>",
                "APP_URL": "https://app.test",
                "PORTCULLIS_KEYS": "k1:" + "A" * 43 + "=",
                "PORTCULLIS_CONNECTIONS": "1",
                "PORTCULLIS_LETTERS_PER_CONNECTION": "2",
            }
        )
        mailer = Fleet.from_settings(settings)
        await send(mailer, some_envelopes(4))
        await mailer.aclose()
    assert relay.connections == 2
    assert relay.commands[0][1].startswith("EHLO ")
