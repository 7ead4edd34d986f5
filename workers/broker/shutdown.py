"""One request to end is one request, however many times it arrives.

honcho and systemd signal the whole process group, and dramatiq's main process passes the signal on: each worker process gets SIGTERM
twice within milliseconds, and dramatiq takes the second for "at once", without draining.
"""

import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType

from dramatiq import Broker, Middleware

ECHO_SECONDS = 3.0
"""A SIGTERM that follows another so soon is its echo. Whoever means "at once" sends the second one later, or SIGKILL."""

Handler = Callable[[int, FrameType | None], object]


class OneShutdown(Middleware):
    """Takes echoes away from dramatiq's own handler, in each worker process."""

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Stand before the handler; runs on the main thread, after dramatiq has installed it."""
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            signal.signal(signal.SIGTERM, without_echoes(handler))


def without_echoes(handler: Handler, clock: Callable[[], float] = monotonic) -> Handler:
    """Return `handler` for signals that may come several times."""
    heard_at: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal heard_at
        now = clock()
        if heard_at is None or now - heard_at > ECHO_SECONDS:
            heard_at = now
            handler(number, frame)

    return handle
