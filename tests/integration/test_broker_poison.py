"""I12: a bad message loses no other and is quarantined once; it never runs. I7, I19: a forged one does nothing."""

import pickle
from collections.abc import Callable
from hashlib import sha1, sha256

import pytest
from dramatiq import JSONEncoder, Message

from tests.integration.broker_app.bench import NEW, OLD, QUEUE, STRANGE, Bench, a_message, a_ring, eventually
from workers.broker import Reason
from workers.broker.signed_encoder import MAX_BYTES, SignedEncoder

pytest_plugins = ["tests.integration.broker_app.fixtures"]


def sealed(message: Message[object], *keys: str) -> bytes:
    """What only a holder of the key can write, whatever it says."""
    return SignedEncoder(a_ring(*keys)).encode(message.asdict())


def flipped(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


BAD: dict[str, tuple[Reason, Callable[[], bytes]]] = {
    "a forged signature": (Reason.BAD_SIGNATURE, lambda: sealed(a_message(), STRANGE)),
    "an unknown key": (Reason.UNKNOWN_KEY, lambda: sealed(a_message()).replace(b".new.", b".lost.", 1)),
    "a flipped bit": (Reason.BAD_SIGNATURE, lambda: flipped(sealed(a_message()))),
    "nothing": (Reason.MALFORMED, lambda: b""),
    "garbage": (Reason.MALFORMED, lambda: b"\x00\xff\xfe garbage \r\n"),
    "plain dramatiq": (Reason.MALFORMED, lambda: JSONEncoder().encode(a_message().asdict())),
    "a pickle": (Reason.MALFORMED, lambda: pickle.dumps(a_message().asdict())),
    "a future version": (Reason.UNKNOWN_VERSION, lambda: sealed(a_message()).replace(b"p1.", b"p9.", 1)),
    "a huge one": (Reason.OVERSIZED, lambda: b"x" * (2 * 1024 * 1024)),
    "just too long": (Reason.OVERSIZED, lambda: b"x" * (MAX_BYTES + 1)),
    "an unknown actor": (Reason.UNKNOWN_ACTOR, lambda: sealed(a_message("nobody"))),
    "a forbidden actor": (Reason.FORBIDDEN_ACTOR, lambda: sealed(a_message("forbidden"))),
    "an actor of another queue": (Reason.FORBIDDEN_ACTOR, lambda: sealed(a_message("elsewhere"))),
    "a message of another queue": (Reason.WRONG_QUEUE, lambda: sealed(a_message("elsewhere", queue="notify"))),
    "a callback": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(on_success="note"))),
    "a failure callback": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(on_failure="note"))),
    "a pipeline": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(pipe_target={"actor_name": "note"}))),
    "an eta": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(eta=0))),
    "a group": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(group_callback_barrier_ttl=1))),
    "retries": (Reason.FORBIDDEN_OPTIONS, lambda: sealed(a_message(retries=3))),
    "no message": (Reason.UNREADABLE, lambda: SignedEncoder(a_ring()).encode({"actor_name": "note"})),
    "arguments that are no list": (Reason.UNREADABLE, lambda: SignedEncoder(a_ring()).encode({**a_message().asdict(), "args": "note"})),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_quarantined_once_and_the_others_of_its_batch_run(bench: Bench, name: str) -> None:
    reason, write = BAD[name]
    bad = write()
    bench.slip_in(sealed(a_message("note", "before")), bad, sealed(a_message("note", "after")))
    with bench.working():
        eventually(lambda: len(bench.ran) == 2 and bench.is_empty())
    assert sorted(bench.ran) == ["after", "before"]
    assert [(kept.queue, kept.reason, kept.payload) for kept in bench.quarantined] == [(QUEUE, reason, bad[:1024])]


def test_a_batch_with_every_kind_of_badness_runs_all_that_is_good(bench: Bench) -> None:
    for number, (_, write) in enumerate(BAD.values()):
        bench.slip_in(write(), sealed(a_message("note", str(number))))
    with bench.working(threads=2 * len(BAD)):
        eventually(lambda: len(bench.ran) == len(BAD) and bench.is_empty())
    assert sorted(bench.ran, key=int) == [str(number) for number in range(len(BAD))]
    assert sorted(kept.reason for kept in bench.quarantined) == sorted(reason for reason, _ in BAD.values())


def test_the_digest_tells_bad_messages_apart(bench: Bench) -> None:
    huge = b"x" * 100_000
    bench.slip_in(b"one", b"two", huge)
    with bench.working():
        eventually(lambda: len(bench.quarantined) == 3 and bench.is_empty())
    of_huge = sha256(b"100000:" + sha1(huge, usedforsecurity=False).hexdigest().encode()).hexdigest()
    assert [kept.digest for kept in bench.quarantined] == [sha256(b"one").hexdigest(), sha256(b"two").hexdigest(), of_huge]


def test_a_replayed_message_runs_again_and_leaves_nothing_behind(bench: Bench) -> None:
    replayed = sealed(a_message("note", "again"))
    bench.slip_in(replayed, replayed, replayed)
    with bench.working():
        eventually(lambda: len(bench.ran) == 3 and bench.is_empty())
    assert bench.ran == ["again"] * 3
    assert bench.quarantined == []


def test_a_message_under_the_old_key_runs_after_a_rotation(bench: Bench) -> None:
    bench.slip_in(sealed(a_message("note", "old"), OLD, NEW))
    with bench.working():
        eventually(lambda: bench.ran == ["old"])


def test_a_bad_message_comes_back_until_the_quarantine_takes_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.broker.consumer.RECLAIM_SECONDS", 0.2)
    bench.refuse_quarantine = 2
    bench.slip_in(b"garbage", sealed(a_message("note", "good")))
    with bench.working():
        eventually(lambda: len(bench.quarantined) == 1 and bench.is_empty())
    assert (bench.ran, bench.refuse_quarantine) == (["good"], 0)


def test_a_shutdown_right_after_a_quarantine_does_not_bring_the_message_back(bench: Bench) -> None:
    bench.slip_in(b"garbage", sealed(a_message("note", "good")))
    consumer = bench.broker.consume(QUEUE, prefetch=2)
    good = next(consumer)
    assert good is not None
    consumer.ack(good)
    consumer.close()
    assert (len(bench.quarantined), bench.is_empty()) == (1, True)


def test_a_bad_message_that_nobody_took_is_still_there_after_a_shutdown(bench: Bench) -> None:
    bench.refuse_quarantine = 1
    bench.slip_in(b"garbage")
    with bench.working():
        eventually(lambda: bench.refuse_quarantine == 0)
    assert bench.broker.depth(QUEUE).waiting == 1


def test_an_actor_that_fails_is_not_run_again_and_keeps_no_dead_letter(bench: Bench) -> None:
    bench.broker.enqueue(a_message("fail", "once"))
    with bench.working():
        eventually(lambda: bench.ran == ["once"] and bench.is_empty())
    assert bench.raw.keys() == []
