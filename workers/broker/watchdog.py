"""Ends a process whose event loop no longer answers.

A synchronous call on the loop blocks every actor of the process, while its consumers go on beating and holding messages. Nobody can mend
that from inside: the process says where it hangs and exits with 70, so that its supervisor starts a new one.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import traceback
from typing import Final

import structlog
from dramatiq import Broker, Middleware, Worker

from workers.broker.boot import event_loop_thread

STUCK_SECONDS: Final = 30
EXIT_STATUS: Final = 70
"""EX_SOFTWARE of sysexits.h."""

PAUSE_SECONDS: Final = 1.0
NATIVE_FACTOR: Final = 4

STDERR: Final = 2
"""The real one: dramatiq puts a pipe in place of `sys.stderr`."""

_log = structlog.get_logger(__name__)


class LoopWatchdog(threading.Thread):
    """Pings `loop` every second; `seconds` without an answer are the end.

    Seconds are counted one by one, so that a process which was suspended as a whole is not taken for a stuck one. If even this thread gets
    no turn, because native code holds the interpreter lock, `faulthandler` ends the process after four times as long, with status 1.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, seconds: int = STUCK_SECONDS) -> None:
        super().__init__(name="loop-watchdog", daemon=True)
        self._loop = loop
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """Watch until `stop`, or until the loop is closed."""
        while not self._stopped.wait(PAUSE_SECONDS) and not self._loop.is_closed():
            faulthandler.dump_traceback_later(self._seconds * NATIVE_FACTOR, exit=True, file=STDERR)
            if not self._answers():
                _give_up(self._seconds)
        faulthandler.cancel_dump_traceback_later()

    def stop(self) -> None:
        """Stop watching; returns when nothing can fire any more."""
        self._stopped.set()
        self.join()

    def _answers(self) -> bool:
        answered = threading.Event()
        try:
            self._loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            return True  # closed just now: a loop that ended in order is not stuck
        return any(answered.wait(1) or self._stopped.is_set() for _ in range(self._seconds))


class WatchLoop(Middleware):
    """Watches the worker's event loop from boot until it is closed: a shutdown can get stuck on it too."""

    def __init__(self, *, seconds: int = STUCK_SECONDS) -> None:
        self._seconds = seconds

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Start watching."""
        LoopWatchdog(event_loop_thread().loop, seconds=self._seconds).start()


def _give_up(seconds: int) -> None:
    try:
        _log.critical("loop_stuck", seconds=seconds, stacks=_stacks())
    finally:
        os._exit(EXIT_STATUS)


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001 - documented for this very use
    return "\n".join(f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}" for ident, frame in frames.items())
