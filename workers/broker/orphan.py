"""Drains a worker whose parent is gone.

`dramatiq` is a parent with worker processes. When the parent is killed, a worker would go on unsupervised: no log is read, no signal
reaches it, and its supervisor starts another set beside it.
"""

import os
import signal
import threading
from typing import Final

import structlog
from dramatiq import Broker, Middleware, Worker

LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class WatchParent(Middleware):
    """Sends the process SIGTERM, as the parent would have, when its parent changes."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Start looking."""
        self._stopped.clear()
        threading.Thread(target=self._look, args=(os.getppid(),), name="parent-watch", daemon=True).start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Stop looking."""
        self._stopped.set()

    def _look(self, parent: int) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                _log.warning("parent_lost", parent=parent)
                return
