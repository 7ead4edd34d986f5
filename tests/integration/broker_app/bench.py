"""A broker with a few actors that note what ran, and what was quarantined."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import redis
from dramatiq import Message, Worker

from jobs.keys import KeyRing
from workers.broker import PortcullisBroker, Quarantined, open_broker

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
STRANGE = "new:" + base64.b64encode(b"s" * 32).decode()
QUEUE = "enforce"
ALLOWED = frozenset({"note", "fail", "elsewhere"})


def a_ring(*keys: str) -> KeyRing:
    return KeyRing.parse(",".join(keys or (NEW, OLD)))


def a_broker(url: str, *, ring: KeyRing | None = None, allowed: frozenset[str] = ALLOWED) -> PortcullisBroker:
    return open_broker(redis_url=url, key_ring=ring or a_ring(), allowed_actors=allowed, quarantine=lambda kept: None)


def a_message(actor: str = "note", *args: Any, queue: str = QUEUE, **options: Any) -> Message[Any]:
    return Message(queue_name=queue, actor_name=actor, args=args or ("hello",), kwargs={}, options=options)


def eventually(claim: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Bench:
    """`ran` in order of running; `refuse_quarantine` makes the callback fail as often as it says."""

    def __init__(self, url: str) -> None:
        self.ran: list[str] = []
        self.quarantined: list[Quarantined] = []
        self.refuse_quarantine = 0
        self.broker = open_broker(redis_url=url, key_ring=a_ring(), allowed_actors=ALLOWED, quarantine=self._quarantine)
        self.raw = redis.Redis.from_url(url)
        self._declare(self._note, "note")
        self._declare(self._fail, "fail")
        self._declare(self._note, "forbidden")
        self._declare(self._note, "elsewhere", queue="notify")

    def close(self) -> None:
        self.broker.close()
        self.raw.close()

    @contextmanager
    def working(self, threads: int = 4) -> Iterator[Worker]:
        worker = Worker(self.broker, queues={QUEUE}, worker_threads=threads, worker_timeout=100)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()

    def slip_in(self, *payloads: bytes) -> None:
        """Put bytes into the queue behind the broker's back."""
        self.raw.rpush(f"portcullis:{QUEUE}", *payloads)

    def replace_note(self, function: Callable[[str], object]) -> None:
        """Let `note` do something else, on a worker thread."""
        self.broker.actors["note"].fn = function

    def is_empty(self) -> bool:
        depth = self.broker.depth(QUEUE)
        return (depth.waiting, depth.taken) == (0, 0)

    def _declare(self, function: Callable[..., Any], name: str, queue: str = QUEUE) -> None:
        dramatiq.actor(broker=self.broker, actor_name=name, queue_name=queue)(function)

    def _quarantine(self, kept: Quarantined) -> None:
        if self.refuse_quarantine:
            self.refuse_quarantine -= 1
            raise ConnectionError("nobody there to take it")
        self.quarantined.append(kept)

    async def _note(self, name: str) -> None:
        self.ran.append(name)

    async def _fail(self, name: str) -> None:
        self.ran.append(name)
        raise ValueError(name)
