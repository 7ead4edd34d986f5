"""dramatiq's one event loop, on uvloop, for every coroutine of the process.

The thread is a daemon: a boot that fails after it would otherwise wait for it forever instead of ending. It knows which of its tasks are
actors, so that those which outlive the shutdown's patience are cancelled before the pools under them are closed.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import uvloop
from dramatiq import Broker, Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.middleware import AsyncIO

from workers.broker.boot import BootError

START_SECONDS: Final = 10.0
CANCEL_SECONDS: Final = 5.0

R = TypeVar("R")


class EventLoop(AsyncIO):
    """Starts the loop before anything else and stops it after everything else."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Start it, or refuse to boot."""
        thread = UvloopThread(self.logger)
        try:
            thread.start(timeout=START_SECONDS)
        except RuntimeError as error:
            raise BootError("the event loop", error) from error
        set_event_loop_thread(thread)


class UvloopThread(EventLoopThread):
    """Runs the loop, ends in order, and keeps count of actors."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self.name = "event-loop"
        self.daemon = True
        self.loop.close()
        self.loop = uvloop.new_event_loop()
        self._actors: set[asyncio.Task[Any]] = set()

    def run(self) -> None:
        """Run until `stop`; what is still pending then is cancelled, not dropped with a warning."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(_cancel(asyncio.all_tasks(self.loop)))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def run_coroutine(self, coro: Awaitable[R]) -> R:
        """Run an actor's coroutine and wait for it on the calling worker thread."""
        return super().run_coroutine(self._as_actor(coro))

    def cancel_actors(self) -> None:
        """Cancel the actors that still run and give them a few seconds for their `finally`."""
        asyncio.run_coroutine_threadsafe(_cancel(self._actors), self.loop).result(CANCEL_SECONDS + 1)

    async def _as_actor(self, coro: Awaitable[R]) -> R:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self._actors.add(task)
        try:
            return await coro
        finally:
            self._actors.discard(task)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    pending = {task for task in tasks if not task.done()} - {asyncio.current_task()}
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=CANCEL_SECONDS)
