"""The watchdog leaves a loop alone that answers, that is stopped in order, or that is only slow."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from workers.broker import LoopWatchdog, watchdog


@pytest.fixture
def given_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the watchdog would have ended the process for."""
    calls: list[int] = []
    monkeypatch.setattr(watchdog, "_give_up", calls.append)
    monkeypatch.setattr(watchdog, "PAUSE_SECONDS", 0.01)
    return calls


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_loop_that_answers_lives(loop: asyncio.AbstractEventLoop, given_up: list[int]) -> None:
    dog = LoopWatchdog(loop, seconds=1)
    dog.start()
    time.sleep(0.1)
    assert dog.is_alive()
    dog.stop()
    assert (dog.is_alive(), given_up) == (False, [])


def test_a_loop_that_is_slow_but_answers_in_time_lives(loop: asyncio.AbstractEventLoop, given_up: list[int]) -> None:
    dog = LoopWatchdog(loop, seconds=5)
    dog.start()
    loop.call_soon_threadsafe(time.sleep, 1.5)
    time.sleep(2)
    dog.stop()
    assert given_up == []


def test_a_loop_that_never_answers_is_given_up(loop: asyncio.AbstractEventLoop, given_up: list[int]) -> None:
    release = threading.Event()
    loop.call_soon_threadsafe(release.wait)
    dog = LoopWatchdog(loop, seconds=1)
    dog.start()
    time.sleep(1.5)
    release.set()
    dog.stop()
    assert given_up[:1] == [1]


def test_a_closed_loop_ends_the_watch(given_up: list[int]) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    dog = LoopWatchdog(loop, seconds=1)
    dog.start()
    dog.join(5)
    assert (dog.is_alive(), given_up) == (False, [])


def test_the_report_names_every_thread_and_its_line() -> None:
    assert "MainThread:" in watchdog._stacks()
    assert "test_the_report_names_every_thread_and_its_line" in watchdog._stacks()
