"""Publishing, taking, settling, giving back: each one atomic, nothing without a bound."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
import redis

from tests.integration.broker_app.bench import QUEUE, Bench, a_message, eventually
from workers.broker import QueueFullError, UnpublishableError
from workers.broker.redis_queue import MAX_WAITING, RedisQueue

pytest_plugins = ["tests.integration.broker_app.fixtures"]

TOKENS = count()


@pytest.fixture
def raw(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(raw: "redis.Redis") -> RedisQueue:
    return RedisQueue(raw, namespace="test", name="q", max_bytes=100)


def fetch(queue: RedisQueue, consumer: str, wanted: int = 10) -> list[tuple[str, bytes]]:
    fetched = queue.fetch(consumer, wanted=wanted, first_token=next(TOKENS) * 100)
    return [(taken.token, taken.data) for taken in fetched.messages]


def contents(queue: RedisQueue, consumer: str) -> list[bytes]:
    return [data for _, data in fetch(queue, consumer)]


def test_messages_come_in_order_and_to_one_consumer_only(queue: RedisQueue) -> None:
    queue.push([b"1", b"2", b"3"])
    assert (contents(queue, "a"), contents(queue, "b")) == ([b"1", b"2", b"3"], [])


def test_what_goes_first_comes_before_what_waits_and_in_its_own_order(queue: RedisQueue) -> None:
    queue.push([b"1", b"2"])
    queue.push([b"a", b"b"], first=True)
    assert queue.depth().waiting == 4
    assert contents(queue, "a") == [b"a", b"b", b"1", b"2"]
    assert queue.depth().waiting == 0


def test_a_flush_drops_what_goes_first_too(queue: RedisQueue) -> None:
    queue.push([b"a"], first=True)
    queue.flush()
    assert contents(queue, "a") == []


def test_a_settled_message_is_gone_and_settling_twice_is_once(queue: RedisQueue) -> None:
    queue.push([b"1"])
    [(token, _)] = fetch(queue, "a")
    queue.settle("a", [token])
    queue.settle("a", [token])
    assert queue.depth().taken == 0


def test_a_message_given_back_comes_again_and_a_settled_one_does_not(queue: RedisQueue) -> None:
    queue.push([b"1", b"2"])
    (first, _), (second, _) = fetch(queue, "a")
    queue.settle("a", [first])
    assert queue.give_back("a", [first, second]) == 1
    assert contents(queue, "b") == [b"2"]


def test_what_a_silent_consumer_took_goes_to_the_others_and_it_is_forgotten(queue: RedisQueue) -> None:
    queue.push([b"1", b"2"])
    fetch(queue, "dead")
    assert queue.recover(dead_after_ms=60_000) == 0
    assert queue.recover(dead_after_ms=0) == 2
    assert (contents(queue, "b"), queue.depth().consumers) == ([b"1", b"2"], 1)


def test_a_consumer_that_was_wrongly_declared_dead_settles_without_harm(queue: RedisQueue) -> None:
    queue.push([b"1"])
    [(token, _)] = fetch(queue, "slow")
    queue.recover(dead_after_ms=0)
    queue.settle("slow", [token])
    assert contents(queue, "b") == [b"1"]


def test_the_gap_between_beats_is_measured_by_redis(queue: RedisQueue, raw: "redis.Redis") -> None:
    assert queue.fetch("a", wanted=0, first_token=0).gap_ms == -1
    assert 0 <= queue.fetch("a", wanted=0, first_token=0).gap_ms < 10_000
    raw.zincrby("test:q.alive", -15_000, "a")
    assert 15_000 <= queue.fetch("a", wanted=0, first_token=0).gap_ms < 25_000


def test_of_a_message_that_is_too_long_only_the_beginning_is_transferred(queue: RedisQueue) -> None:
    queue.push([b"x" * 5000])
    [taken] = queue.fetch("a", wanted=1, first_token=0).messages
    assert (taken.data, taken.length, len(taken.sha1)) == (b"x" * 1024, 5000, 40)


def test_a_full_queue_takes_none_of_the_new_messages(queue: RedisQueue) -> None:
    queue.push([b"x"] * (MAX_WAITING - 1))
    with pytest.raises(QueueFullError):
        queue.push([b"y", b"z"])
    assert queue.depth().waiting == MAX_WAITING - 1


def test_the_bell_is_short_and_is_silent_when_nothing_waits(queue: RedisQueue, raw: "redis.Redis") -> None:
    for _ in range(10):
        queue.push([b"x"] * 100)
    assert raw.llen("test:q.bell") == 64
    while contents(queue, "a"):
        pass
    assert raw.exists("test:q.bell") == 0


def test_who_waits_is_woken_by_whatever_brings_messages(queue: RedisQueue) -> None:
    def push() -> None:
        queue.push([b"1"])

    def give_back() -> None:
        queue.give_back("a", [token for token, _ in fetch(queue, "a")])

    def recover() -> None:
        fetch(queue, "a")
        queue.recover(dead_after_ms=0)

    for bring in (push, give_back, recover):
        begin = time.monotonic()
        timer = threading.Timer(0.05, bring)
        timer.start()
        queue.wait_for_bell(4)
        timer.join()
        assert time.monotonic() - begin < 3, bring.__name__


def test_every_key_expires(queue: RedisQueue, raw: "redis.Redis") -> None:
    queue.push([b"1", b"2"])
    fetch(queue, "a", wanted=1)
    lifetimes = {key: raw.pttl(key) for key in raw.keys()}  # noqa: SIM118 - a command of Redis, not a dictionary's
    assert len(lifetimes) == 4
    assert all(0 < lifetime <= 3_600_000 for lifetime in lifetimes.values())


def test_flushing_drops_what_waits_and_leaves_what_is_taken(bench: Bench) -> None:
    queue = bench.broker
    queue.enqueue_many([a_message("note", "x"), a_message("note", "y")])
    queue.flush_all()
    assert queue.depth(QUEUE).waiting == 0


def test_many_messages_are_published_in_order_over_several_queues(bench: Bench) -> None:
    bench.broker.enqueue_many(a_message("note", str(number)) for number in range(600))
    with bench.working(threads=1):
        eventually(lambda: len(bench.ran) == 600)
    assert bench.ran == [str(number) for number in range(600)]


async def test_publishing_from_asyncio(bench: Bench) -> None:
    await bench.broker.publish([a_message("note", "x"), a_message("note", "y")])
    assert bench.broker.depth(QUEUE).waiting == 2


def test_nothing_of_a_batch_is_published_when_one_of_it_is_unfit(bench: Bench) -> None:
    with pytest.raises(UnpublishableError):
        bench.broker.enqueue_many([a_message("note", "x"), a_message("forbidden")])
    assert bench.is_empty()


def test_a_full_queue_says_so(bench: Bench) -> None:
    with pytest.raises(QueueFullError, match="4096"):
        bench.broker.enqueue_many(a_message() for _ in range(MAX_WAITING + 1))


def test_after_a_shutdown_a_worker_may_be_started_again(bench: Bench) -> None:
    for name in ("first", "second"):
        bench.broker.enqueue(a_message("note", name))
        with bench.working():
            eventually(lambda: bench.ran[-1:] == [name])  # noqa: B023 - it is asked within this round
        assert bench.broker.drain.is_set()


def test_a_process_takes_no_more_than_it_has_threads(bench: Bench) -> None:
    gate = threading.Event()
    bench.replace_note(lambda _: gate.wait(10))
    bench.broker.enqueue_many(a_message("note", str(number)) for number in range(10))
    with bench.working(threads=3):
        eventually(lambda: bench.broker.depth(QUEUE).taken == 3)
        assert bench.broker.depth(QUEUE).waiting == 7
        gate.set()
        eventually(bench.is_empty)
