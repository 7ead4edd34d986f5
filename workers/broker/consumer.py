"""Takes messages from one queue and hands them to dramatiq's worker threads.

Three things it does that the stock consumer does not: an idle one waits on a bell instead of sleeping, a bad message costs only itself,
and what was taken is always either settled, held by a worker thread, or given back.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, cast

import redis
import structlog
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy

from workers.broker.delivery import Delivery
from workers.broker.drain import Drain
from workers.broker.errors import as_closed_connection
from workers.broker.holding import Holding
from workers.broker.pulse import DEAD_AFTER_MS, Pulse
from workers.broker.redis_queue import PREFIX_BYTES, RedisQueue, Taken
from workers.broker.rejected import Quarantined, Reason, RejectedError
from workers.broker.screening import Screening

IDLE_SECONDS: Final = 1.0
"""How long at most nothing is looked at: a lost bell costs this, and so does a stop."""

DRAIN_SECONDS: Final = 0.2

RECLAIM_SECONDS: Final = 5.0
"""How soon a message comes back whose quarantine failed."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What a consumer works with."""

    queue: RedisQueue
    holding: Holding
    screening: Screening
    quarantine: Callable[[Quarantined], None]
    drain: Drain


class BellConsumer(Consumer):
    """Used by one thread, but for `ack` and `nack`, which worker threads call. At most `limit` messages are held at a time."""

    def __init__(self, intake: Intake, *, limit: int, idle_seconds: float) -> None:
        self._intake = intake
        self._queue = intake.queue
        self._holding = intake.holding
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._ready: deque[Delivery] = deque()
        self._pulse = Pulse(time.monotonic())
        self._reclaim_at = 0.0

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or nothing after at most a second.

        Raises:
            ConnectionClosed: Redis is away or refuses; dramatiq makes a new consumer in three seconds.
        """
        if not self._ready:
            with as_closed_connection():
                self._refill()
        return self._hand_out() if self._ready else None

    def ack(self, message: MessageProxy) -> None:
        """Settle a message. If Redis can't be told now, it is told later; the worker thread goes on."""
        token = cast("Delivery", message).token
        self._holding.finish(token)
        try:
            self._settle({token})
        except redis.RedisError as error:
            _log.warning("settling_postponed", queue=self._queue.name, error=type(error).__name__)

    def nack(self, message: MessageProxy) -> None:
        """Settle it all the same: dead letters are rows in PostgreSQL, Redis keeps none."""
        _log.warning("message_failed", queue=self._queue.name, message_id=message.message_id)
        self.ack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back messages that no worker thread has begun."""
        tokens = [cast("Delivery", message).token for message in messages]
        with as_closed_connection():
            self._give_back(tokens)
        self._holding.returned(tokens)

    def close(self) -> None:
        """Give back whatever was taken and not handed out, and leave, unless worker threads are still busy."""
        self._ready.clear()
        with as_closed_connection():
            self._settle(self._holding.unsettled)
            self._reclaim()
            if not self._holding.held:
                self._queue.leave(self._holding.consumer)

    def _hand_out(self) -> Delivery:
        delivery = self._ready.popleft()
        self._holding.start(delivery.token)
        return delivery

    def _refill(self) -> None:
        self._look_after()
        room = self._holding.room(self._limit)
        if self._intake.drain.has_begun:
            self._take(0)
            time.sleep(DRAIN_SECONDS)
        elif room == 0:
            self._take(0)
            self._holding.wait_for_room(self._limit, self._idle_seconds)
        elif self._take(room) == 0:
            self._queue.wait_for_bell(self._idle_seconds)

    def _take(self, wanted: int) -> int:
        """Beat, and sort what came into good and bad; how many came."""
        fetched = self._queue.fetch(self._holding.consumer, wanted=wanted, first_token=self._holding.reserve(wanted))
        self._pulse.beat(fetched.gap_ms, time.monotonic())
        for taken in fetched.messages:
            try:
                self._ready.append(Delivery(self._admit(taken), taken.token))
            except RejectedError as rejected:
                self._quarantine(taken, rejected.reason)
        return len(fetched.messages)

    def _admit(self, taken: Taken) -> Message[Any]:
        if taken.sha1:
            raise RejectedError(Reason.OVERSIZED, taken.data)
        return self._intake.screening.admit(taken.data, self._queue.name)

    def _quarantine(self, taken: Taken, reason: Reason) -> None:
        """Hand a bad message over, then settle it. If nobody takes it, it stays taken, and is given back with the next reclaim."""
        kept = Quarantined(queue=self._queue.name, reason=reason, digest=_digest(taken), payload=taken.data[:PREFIX_BYTES])
        try:
            self._intake.quarantine(kept)
        except Exception:  # noqa: BLE001 - whatever it was, the other messages go on
            _log.exception("quarantine_failed", queue=kept.queue, reason=kept.reason, digest=kept.digest)
        else:
            self._holding.finish(taken.token)

    def _look_after(self) -> None:
        self._settle(self._holding.unsettled)
        now = time.monotonic()
        if now >= self._reclaim_at:
            self._reclaim_at = now + RECLAIM_SECONDS
            self._reclaim()
        if self._pulse.may_judge(now) and (count := self._queue.recover(dead_after_ms=DEAD_AFTER_MS)):
            _log.warning("messages_recovered", queue=self._queue.name, count=count)

    def _settle(self, tokens: Iterable[str]) -> None:
        if tokens := list(tokens):
            self._queue.settle(self._holding.consumer, tokens)
            self._holding.settled(tokens)

    def _reclaim(self) -> None:
        self._give_back(self._queue.tokens(self._holding.consumer) - self._holding.held)

    def _give_back(self, tokens: Iterable[str]) -> None:
        if tokens := list(tokens):
            self._queue.give_back(self._holding.consumer, tokens)


def _digest(taken: Taken) -> str:
    return sha256(b"%d:%s" % (taken.length, taken.sha1) if taken.sha1 else taken.data).hexdigest()
