"""What actors need and what must live on their event loop: pools, a mailer. Opened before the first message, closed after the last.

One task enters and leaves the context, so that task groups and timeouts inside it work as everywhere else.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
from dramatiq import Broker, Middleware, Worker

from workers.broker.boot import BootError, event_loop_thread

OPEN_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 20.0

_log = structlog.get_logger(__name__)


class Resources(Middleware):
    """Add it to the broker last: it is opened last and closed first.

    `open_` is called once, on the worker's event loop. If it fails, or takes longer than 30 s, the worker does not start.
    """

    def __init__(self, open_: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        self._open = open_
        self._closing = asyncio.Event()
        self._held: Future[None] | None = None

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Open.

        Raises:
            BootError: With what `open_` said.
        """
        opened: Future[None] = Future()
        self._closing = asyncio.Event()
        self._held = asyncio.run_coroutine_threadsafe(self._hold(opened), event_loop_thread().loop)
        try:
            opened.result(OPEN_SECONDS)
        except FutureTimeoutError:
            self._held.cancel()
            raise BootError("opening the worker's resources", f"it took longer than {OPEN_SECONDS:g} s") from None
        except BaseException as error:
            raise BootError("opening the worker's resources", error) from error

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Cancel the actors that outlived the shutdown's patience, then close."""
        if self._held is None:
            return
        thread = event_loop_thread()
        thread.cancel_actors()
        thread.loop.call_soon_threadsafe(self._closing.set)
        try:
            self._held.result(CLOSE_SECONDS)
        except Exception:  # noqa: BLE001 - the process ends all the same
            _log.exception("closing_failed")

    async def _hold(self, opened: Future[None]) -> None:
        try:
            async with self._open():
                opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
