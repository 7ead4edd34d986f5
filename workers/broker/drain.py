"""The beginning of a shutdown: take nothing new, give back what nobody has begun, tell those who work.

dramatiq itself goes on prefetching while its actors finish, and returns what was prefetched only afterwards; for as long as the slowest
actor takes, nobody else could have it.
"""

import asyncio
from collections import defaultdict
from threading import Event
from typing import Any

import structlog
from dramatiq import Broker, Middleware, Worker
from dramatiq.broker import MessageProxy
from dramatiq.common import iter_queue
from dramatiq.errors import BrokerConnectionError

from workers.broker.boot import event_loop_thread

_log = structlog.get_logger(__name__)


class Drain(Middleware):
    """Told twice: `begun` can be awaited on the worker's loop by whoever had better stop early, `has_begun` is for threads."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._draining = Event()

    @property
    def has_begun(self) -> bool:
        """True from the beginning of a shutdown: nothing new is taken."""
        return self._draining.is_set()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Forget an earlier shutdown: an event belongs to one event loop."""
        self.begun = asyncio.Event()
        self._draining.clear()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin; runs before any worker thread is told to stop."""
        self._draining.set()
        event_loop_thread().loop.call_soon_threadsafe(self.begun.set)
        _give_back(worker)


def _give_back(worker: Worker) -> None:
    waiting: defaultdict[str, list[MessageProxy]] = defaultdict(list)
    for item in iter_queue(worker.work_queue):
        waiting[item.message.queue_name].append(item.message)
    for queue_name, messages in waiting.items():
        _requeue(worker.consumers[queue_name], messages)


def _requeue(consumer: Any, messages: list[MessageProxy]) -> None:
    try:
        consumer.requeue_messages(messages)
    except BrokerConnectionError as error:
        _log.warning("giving_back_failed", queue=consumer.queue_name, messages=len(messages), error=str(error))
