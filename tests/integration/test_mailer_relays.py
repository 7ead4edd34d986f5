"""Several relays: by weight, around one that is away, never the same letter twice because of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobs.ports import Scope
from tests.mailer_parts import ListRecorder, a_mailer, an_envelope, send, some_envelopes, until
from tests.relay import Act, Relay, Rule, Stage
from workers.mailer import Fleet
from workers.mailer.breaker import BreakerState, RelayBreaker
from workers.settings import ConfigurationError, RelaySettings
from workers.settings import Relay as Address

REFUSES = Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now")


@asynccontextmanager
async def a_fleet(*relays: tuple[Relay, int]) -> AsyncIterator[Fleet]:
    mailers = [(a_mailer(relay, connections=2, breaker=RelayBreaker(first_seconds=0.2)), weight) for relay, weight in relays]
    fleet = Fleet(mailers)
    try:
        yield fleet
    finally:
        await fleet.aclose()


async def waves(fleet: Fleet, count: int, size: int = 20) -> list[ListRecorder]:
    return [await send(fleet, some_envelopes(size, f"wave{number}.example")) for number in range(count)]


async def test_letters_are_shared_by_weight() -> None:
    async with Relay() as heavy, Relay() as light, a_fleet((heavy, 3), (light, 1)) as fleet:
        await waves(fleet, 16)
    assert (heavy.letters, light.letters) == (240, 80)


async def test_a_relay_of_weight_nothing_is_used_only_while_no_other_is_well() -> None:
    async with Relay() as first, Relay() as spare, a_fleet((first, 1), (spare, 0)) as fleet:
        await waves(fleet, 3)
        assert (first.letters, spare.letters) == (60, 0)
        first.rules.append(REFUSES)
        for session in tuple(first._sessions):
            session.cancel()
        recorders = await waves(fleet, 3)
        assert spare.letters >= 40
        assert Scope.RELAY not in recorders[-1].scopes()
        first.rules.clear()
        await until(lambda: fleet.turn() == [f"127.0.0.1:{first.port}"])
        before = spare.letters
        await waves(fleet, 3)
        assert spare.letters == before


async def test_what_a_relay_has_not_begun_when_it_goes_away_is_nobodys_attempt_and_goes_elsewhere() -> None:
    async with Relay([REFUSES]) as away, Relay() as well, a_fleet((away, 5), (well, 1)) as fleet:
        recorder = await send(fleet, some_envelopes(40))
        assert recorder.scopes() == {Scope.UNSENT: 40}
        assert "another relay takes over" in recorder.of("m0@example.com").text
        assert fleet.retry_in_seconds == 0
        again = await send(fleet, some_envelopes(40))
        assert again.scopes() == {Scope.ACCEPTED: 40}
        assert [status.breaker for status in fleet.statuses()] == [BreakerState.OPEN, BreakerState.CLOSED]
        assert [status.relay for status in fleet.statuses()] == [f"127.0.0.1:{away.port}", f"127.0.0.1:{well.port}"]
    assert well.letters == 40


async def test_a_relay_that_comes_back_gets_its_part_and_not_what_it_missed() -> None:
    async with Relay([REFUSES]) as away, Relay() as well, a_fleet((away, 1), (well, 1)) as fleet:
        await waves(fleet, 9)
        away.rules.clear()
        await until(lambda: len(fleet.turn()) == 2)
        before = well.letters
        await waves(fleet, 8)
        assert 60 <= well.letters - before <= 100


async def test_a_letter_in_doubt_is_not_given_to_another_relay() -> None:
    rule = Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP)
    async with Relay([rule]) as doubtful, Relay() as other, a_fleet((doubtful, 9), (other, 1)) as fleet:
        recorder = await send(fleet, [an_envelope()])
    assert recorder.scopes() == {Scope.UNCERTAIN: 1}
    assert other.letters == 0


async def test_with_all_relays_away_letters_wait_for_the_first_to_be_tried_again() -> None:
    async with Relay([REFUSES]) as one, Relay([REFUSES]) as two, a_fleet((one, 1), (two, 1)) as fleet:
        await waves(fleet, 2)
        assert 0 < fleet.retry_in_seconds <= 0.2
        assert fleet.turn() == []


async def test_who_closes_a_relays_breaker_has_it_tried_at_once() -> None:
    async with Relay([REFUSES]) as relay:
        mailer = a_mailer(relay)
        await send(mailer, some_envelopes(3))
        assert mailer.retry_in_seconds > 9
        relay.rules.clear()
        mailer.close_breaker(mailer.relay, seconds=0)
        assert mailer.retry_in_seconds == 0
        assert (await send(mailer, some_envelopes(3))).scopes() == {Scope.ACCEPTED: 3}
        relay.rules.append(REFUSES)
        await mailer.aclose()


async def test_a_breaker_held_closed_makes_no_pause_worth_the_name() -> None:
    async with Relay([REFUSES]) as relay:
        mailer = a_mailer(relay)
        mailer.close_breaker(mailer.relay, seconds=60)
        await send(mailer, some_envelopes(3))
        assert 0 < mailer.retry_in_seconds <= 1
        await mailer.aclose()


def relays_of(url: str) -> tuple[Address, ...]:
    return RelaySettings.load({"SMTP_URL": url, "MAIL_FROM": "security@app.example.com"}).relays


def test_one_url_is_one_relay_also_with_a_comma_in_its_password() -> None:
    (relay,) = relays_of("smtp+starttls://user:pa,ss@relay.example")
    assert (relay.name, relay.weight) == ("relay.example:587", 1)
    assert relay.password is not None
    assert relay.password.get_secret_value() == "pa,ss"


def test_several_are_read_in_order_each_with_its_weight() -> None:
    found = relays_of("smtps://u:p@one.example?weight=3, smtp+starttls://two.example:2525, smtp://127.0.0.1:25?weight=0")
    assert [(relay.name, relay.weight) for relay in found] == [("one.example:465", 3), ("two.example:2525", 1), ("127.0.0.1:25", 0)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("smtps://u:secret@one.example,smpt://u:secret@two.example", "relay 2 of 2: the scheme must be one of"),
        ("smtps://u:secret@one.example,smtps:/u:secret@two.example", "relay 2 of 2: a host is missing"),
        ("smtps://u:secret@one.example:99x,smtp://127.0.0.1", "relay 1 of 2: host and port can't be made out"),
        ("smtps://u:secret@one.example,", "relay 2 of 2: the scheme must be one of"),
        ("smtps://u:secret@one.example?weight=-1", "nothing may follow host and port but ?weight="),
        ("smtps://u:secret@one.example?wieght=2", "nothing may follow host and port but ?weight="),
        ("smtps://one.example,smtps://u:secret@one.example:465", "the same relay is named twice: one.example:465"),
    ],
    ids=["scheme", "slash", "port", "nothing behind the comma", "weight below nothing", "weight misspelt", "twice"],
)
def test_a_typo_in_one_of_them_is_one_error_that_names_which_and_no_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        relays_of(url)
    (fault,) = refused.value.faults
    assert fault.startswith("SMTP_URL: ")
    assert reason in fault
    assert "secret" not in fault
