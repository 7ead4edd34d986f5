"""What the pool learns from the relay: how many connections it likes, whether it is away, and when to look again."""

import asyncio

from jobs.ports import Receipt, Scope, SmtpStage
from workers.mailer.alarm import Alarm
from workers.mailer.breaker import BreakerState, RelayBreaker
from workers.mailer.concurrency import Concurrency

REFUSED = Receipt(scope=Scope.RELAY, stage=SmtpStage.CONNECT, text="connection refused")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_window_starts_at_five_or_the_limit() -> None:
    assert Concurrency(limit=16).window == 5
    assert Concurrency(limit=2).window == 2


def test_a_window_of_accepted_letters_is_worth_one_connection_more() -> None:
    concurrency = Concurrency(limit=7)
    assert [concurrency.succeeded() for _ in range(5)] == [False] * 4 + [True]
    assert concurrency.window == 6
    for _ in range(100):
        concurrency.succeeded()
    assert concurrency.window == 7


def test_a_failure_costs_a_connection_and_growth_for_a_while() -> None:
    clock = Clock()
    concurrency = Concurrency(limit=16, hold_seconds=10, clock=clock)
    assert not concurrency.failed()
    assert concurrency.window == 4
    for _ in range(50):
        concurrency.succeeded()
    assert concurrency.window == 4
    clock.now += 10
    for _ in range(4):
        concurrency.succeeded()
    assert concurrency.window == 5


def test_the_window_never_closes() -> None:
    concurrency = Concurrency(limit=3)
    for _ in range(9):
        concurrency.eased()
    assert concurrency.window == 1


def test_five_failures_in_a_row_say_that_the_relay_is_away() -> None:
    concurrency = Concurrency(limit=1)
    assert [concurrency.failed() for _ in range(5)] == [False] * 4 + [True]


def test_a_success_between_says_that_it_is_not() -> None:
    concurrency = Concurrency(limit=5)
    for _ in range(20):
        assert not concurrency.failed()
        concurrency.succeeded()


def test_the_breaker_opens_for_ten_seconds_then_twice_as_long_up_to_300() -> None:
    clock = Clock()
    breaker = RelayBreaker(clock=clock)
    pauses: list[float] = []
    states: list[BreakerState] = []
    for _ in range(7):
        assert breaker.trip(REFUSED)
        pauses.append(breaker.retry_in_seconds)
        states.append(breaker.state)
        clock.now += pauses[-1]
        states.append(breaker.state)
        assert breaker.retry_in_seconds == 0
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    assert states == [BreakerState.OPEN, BreakerState.PROBING] * 7


def test_late_news_do_not_lengthen_a_pause() -> None:
    clock = Clock()
    breaker = RelayBreaker(clock=clock)
    assert breaker.trip(REFUSED)
    clock.now += 4
    assert not breaker.trip(REFUSED)
    assert breaker.retry_in_seconds == 6


def test_an_answer_closes_it_and_the_next_pause_is_short_again() -> None:
    clock = Clock()
    breaker = RelayBreaker(clock=clock)
    breaker.trip(REFUSED)
    clock.now += 10
    breaker.trip(REFUSED)
    assert breaker.reset()
    assert not breaker.reset()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.trouble is None
    breaker.trip(REFUSED)
    assert breaker.retry_in_seconds == 10


def test_it_remembers_since_when_and_why() -> None:
    clock = Clock()
    breaker = RelayBreaker(clock=clock)
    breaker.trip(REFUSED)
    assert breaker.trouble is not None
    since = breaker.trouble.since
    clock.now += 10
    later = Receipt(scope=Scope.RELAY, stage=SmtpStage.AUTH, code=535, text="no")
    breaker.trip(later)
    assert (breaker.trouble.since, breaker.trouble.receipt) == (since, later)


async def test_an_alarm_moved_on_does_not_ring() -> None:
    rung: list[float] = []
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop, lambda: rung.append(loop.time()), 0.05)
    started = loop.time()
    for _ in range(5):
        await asyncio.sleep(0.02)
        alarm.set(0.05)
    last = loop.time()
    await asyncio.sleep(0.1)
    assert len(rung) == 1
    assert rung[0] >= last + 0.04 > started + 0.09


async def test_an_alarm_moved_nearer_rings_sooner_and_can_be_set_again() -> None:
    rung: list[str] = []
    alarm = Alarm(asyncio.get_running_loop(), lambda: rung.append("ring"), 60)
    alarm.set(0.01)
    await asyncio.sleep(0.05)
    assert rung == ["ring"]
    alarm.set(0.01)
    await asyncio.sleep(0.05)
    assert rung == ["ring", "ring"]
    alarm.set(0.01)
    alarm.cancel()
    await asyncio.sleep(0.03)
    assert rung == ["ring", "ring"]
