"""Background tasks without which a process only looks alive: if one ends by an error, the process ends too, and another is started.

What was held comes back by its lease, as after any crash. Such a task sees to the weather itself, so its error is a bug.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from workers.broker.watchdog import EXIT_STATUS

log = structlog.get_logger(__name__)


def vital(task: asyncio.Future[Any], name: str, *, crash: Callable[[int], Any] = os._exit) -> None:
    """End the process by `crash` (exit status 70) if the task ends by an error; by being cancelled it may end."""
    task.add_done_callback(partial(_look, name, crash))


def _look(name: str, crash: Callable[[int], Any], task: asyncio.Future[Any]) -> None:
    # Several that were gathered and cancelled are not `cancelled`, but ended by that error.
    if task.cancelled() or task.exception() is None or isinstance(task.exception(), asyncio.CancelledError):
        return
    log.critical("vital_task_died", task=name, exc_info=task.exception())
    crash(EXIT_STATUS)
