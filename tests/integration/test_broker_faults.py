"""Redis emptied, restarted, frozen, full, read-only, or lying about a reply: hints may be lost, the worker goes on."""

import threading
import time

import pytest
from dramatiq import BrokerConnectionError
from redis.exceptions import NoPermissionError

from tests.integration.broker_app.bench import QUEUE, Bench, a_message, eventually
from tests.integration.broker_app.own_valkey import OwnValkey
from workers.broker import MemoryFullError
from workers.broker.account import HINTS

pytest_plugins = ["tests.integration.broker_app.fixtures"]


def runs(bench: Bench, name: str) -> None:
    """A new message still gets through."""
    eventually(lambda: publishes(bench, name))
    eventually(lambda: name in bench.ran)


def publishes(bench: Bench, name: str) -> bool:
    try:
        bench.broker.enqueue(a_message("note", name))
    except BrokerConnectionError:
        return False
    return True


def hold(bench: Bench) -> tuple[threading.Event, threading.Event]:
    """Make the actor wait: (it began, let it end)."""
    began, may_end = threading.Event(), threading.Event()

    def note(name: str) -> None:
        bench.ran.append(name)
        began.set()
        may_end.wait(20)

    bench.replace_note(note)
    return began, may_end


def test_after_flushall_and_without_its_scripts_the_worker_goes_on(own_bench: Bench, own_valkey: OwnValkey) -> None:
    with own_bench.working():
        runs(own_bench, "before")
        own_valkey.command("FLUSHALL")
        own_valkey.command("SCRIPT", "FLUSH")
        runs(own_bench, "after")
        eventually(lambda: own_bench.broker.depth(QUEUE).consumers == 1)


def test_flushall_while_an_actor_runs_changes_nothing_for_it(own_bench: Bench, own_valkey: OwnValkey) -> None:
    began, may_end = hold(own_bench)
    own_bench.broker.enqueue(a_message("note", "running"))
    with own_bench.working():
        began.wait(10)
        own_valkey.command("FLUSHALL")
        may_end.set()
        runs(own_bench, "after")
        eventually(own_bench.is_empty)
    assert own_bench.ran == ["running", "after"]


def test_after_a_restart_of_redis_the_worker_goes_on(own_bench: Bench, own_valkey: OwnValkey) -> None:
    with own_bench.working():
        runs(own_bench, "before")
        own_valkey.stop()
        time.sleep(0.5)
        own_valkey.start()
        runs(own_bench, "after")


def test_a_worker_that_boots_without_redis_waits_for_it(own_bench: Bench, own_valkey: OwnValkey) -> None:
    own_valkey.stop()
    with own_bench.working():
        time.sleep(0.5)
        own_valkey.start()
        runs(own_bench, "at last")


def test_an_actor_that_ends_while_redis_is_away_frees_its_thread(own_bench: Bench, own_valkey: OwnValkey) -> None:
    began, may_end = hold(own_bench)
    own_bench.broker.enqueue(a_message("note", "running"))
    with own_bench.working(threads=1):
        began.wait(10)
        own_valkey.stop()
        may_end.set()
        time.sleep(0.3)
        own_valkey.start()
        begin = time.monotonic()
        runs(own_bench, "after")
        assert time.monotonic() - begin < 4, "dramatiq's own retry of an ack would have held the thread for 5 s"
    assert own_bench.ran.count("running") == 1


def test_a_shutdown_while_redis_is_away_ends(own_bench: Bench, own_valkey: OwnValkey) -> None:
    began, may_end = hold(own_bench)
    own_bench.broker.enqueue(a_message("note", "running"))
    with own_bench.working():
        began.wait(10)
        own_valkey.stop()
        may_end.set()
        begin = time.monotonic()
    assert time.monotonic() - begin < 10


def test_an_ack_that_a_read_only_redis_refused_is_made_up_for(own_bench: Bench, own_valkey: OwnValkey) -> None:
    began, may_end = hold(own_bench)
    own_bench.broker.enqueue(a_message("note", "running"))
    with own_bench.working():
        began.wait(10)
        own_valkey.command("REPLICAOF", "127.0.0.1", "1")
        may_end.set()
        time.sleep(0.5)
        assert own_bench.broker.depth(QUEUE).taken == 1
        own_valkey.command("REPLICAOF", "NO", "ONE")
        eventually(own_bench.is_empty)
    assert own_bench.ran == ["running"]


def test_after_a_stall_longer_than_the_timeout_nothing_is_left_taken(own_bench: Bench, own_valkey: OwnValkey) -> None:
    with own_bench.working():
        runs(own_bench, "before")
        own_bench.broker.enqueue_many(a_message("note", str(number)) for number in range(100))
        own_valkey.freeze()
        time.sleep(1)
        own_valkey.thaw()
        eventually(lambda: {str(number) for number in range(100)} <= set(own_bench.ran))
        eventually(own_bench.is_empty)


def test_an_enqueue_that_timed_out_is_not_sent_again_behind_our_back(own_bench: Bench, own_valkey: OwnValkey) -> None:
    own_bench.broker.enqueue(a_message("note", "before"))
    own_valkey.freeze()
    with pytest.raises(BrokerConnectionError):
        own_bench.broker.enqueue(a_message("note", "once"))
    own_valkey.thaw()
    eventually(lambda: own_bench.broker.depth(QUEUE).waiting > 1)
    time.sleep(0.2)
    assert own_bench.broker.depth(QUEUE).waiting == 2


def test_messages_of_a_fetch_whose_reply_was_lost_come_back(own_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.broker.consumer.RECLAIM_SECONDS", 0.2)
    own_bench.broker.enqueue(a_message("note", "lost"))
    queue = own_bench.broker.queues[QUEUE]
    queue.redis.fetch(queue.holding.consumer, wanted=1, first_token=queue.holding.reserve(1))
    with own_bench.working():
        eventually(lambda: own_bench.ran == ["lost"])
        eventually(own_bench.is_empty)


def test_out_of_memory_refuses_new_messages_and_recovers(own_bench: Bench, own_valkey: OwnValkey) -> None:
    with own_bench.working():
        own_valkey.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(MemoryFullError, match="nothing was enqueued"):
            own_bench.broker.enqueue_many([a_message("note", "refused"), a_message("note", "refused too")])
        own_valkey.command("CONFIG", "SET", "maxmemory", "0")
        runs(own_bench, "after")
    assert own_bench.ran == ["after"]


def test_out_of_memory_stops_neither_taking_nor_settling_nor_beating(own_bench: Bench, own_valkey: OwnValkey) -> None:
    own_bench.broker.enqueue_many(a_message("note", str(number)) for number in range(50))
    own_bench.slip_in(b"garbage")
    own_valkey.command("CONFIG", "SET", "maxmemory", "1")
    with own_bench.working():
        eventually(lambda: len(own_bench.ran) == 50)
        eventually(own_bench.is_empty)
        assert own_bench.broker.depth(QUEUE).consumers == 1
    assert len(own_bench.quarantined) == 1


def test_the_work_of_a_silent_consumer_is_taken_over(own_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("consumer", "pulse"):
        monkeypatch.setattr(f"workers.broker.{module}.DEAD_AFTER_MS", 600)
    monkeypatch.setattr("workers.broker.pulse.JUDGE_EVERY_SECONDS", 0.1)
    own_bench.broker.enqueue(a_message("note", "orphaned"))
    own_bench.broker.queues[QUEUE].redis.fetch("dead", wanted=1, first_token=0)
    with own_bench.working():
        eventually(lambda: own_bench.ran == ["orphaned"])
        eventually(lambda: own_bench.broker.depth(QUEUE).consumers == 1)


def test_the_account_of_the_documentation_is_enough_and_no_more(own_valkey: OwnValkey) -> None:
    url = own_valkey.signed_in("portcullis", *f"~portcullis:* {HINTS}".split())
    bench = Bench(url)
    bench.broker.enqueue(a_message("note", "taken before"))
    bench.broker.queues[QUEUE].redis.fetch("dead", wanted=1, first_token=0)
    bench.broker.queues[QUEUE].redis.recover(dead_after_ms=0)
    bench.broker.enqueue(a_message("note", "hello"))
    with bench.working():
        eventually(lambda: len(bench.ran) == 2 and bench.is_empty())
        for command in (("GET", "portcullis:x"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("RPUSH", "elsewhere", "x")):
            with pytest.raises(NoPermissionError):
                own_valkey.command(*command, url=url)
    bench.broker.flush_all()
    bench.close()


def test_a_lost_bell_costs_a_second_at_most(own_bench: Bench) -> None:
    with own_bench.working():
        runs(own_bench, "before")
        own_bench.slip_in(own_bench.broker._screening.seal(a_message("note", "without a bell")))
        eventually(lambda: "without a bell" in own_bench.ran, seconds=2)
