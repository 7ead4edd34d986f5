"""How a worker refuses to start.

dramatiq swallows every error of a boot hook but its own `MiddlewareError`, and a worker that booted without its event loop or its pools
would take messages and fail each of them.
"""

from typing import TYPE_CHECKING, cast

from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import MiddlewareError

if TYPE_CHECKING:
    from workers.broker.event_loop import UvloopThread


class BootError(MiddlewareError):
    """The worker can't start; the process ends with a status that is not 0. `what` is the step that failed."""

    def __init__(self, what: str, cause: BaseException | str) -> None:
        self.what = what
        reason = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"the worker can't start: {what} failed: {reason}")


def event_loop_thread() -> "UvloopThread":
    """Return the thread with the worker's event loop.

    Raises:
        BootError: There is none: a middleware was put before `EventLoop`.
    """
    thread = get_event_loop_thread()
    if thread is None:
        raise BootError("a middleware", "it needs the event loop and stands before it")
    return cast("UvloopThread", thread)
