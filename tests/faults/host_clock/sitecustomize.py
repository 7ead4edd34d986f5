"""Gives a Python process a wall clock of its own, which jumps as a file says: seconds ahead of the machine's.

Python imports this by itself where the folder is on `PYTHONPATH`; `HOST_CLOCK` names the file. Monotonic time goes on undisturbed, as
it does when somebody sets a host's clock.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import time_machine

FILE = Path(os.environ["HOST_CLOCK"])
LOOK_SECONDS = 0.1

began, began_at = time.time(), time.monotonic()


def follow() -> None:
    """Set the clock whenever the file changes, for ever."""
    traveller: time_machine.travel | None = None
    known = 0.0
    pause = threading.Event()
    while True:
        with suppress(OSError, ValueError):
            ahead = float(FILE.read_text())
            if ahead != known:
                known = ahead
                if traveller is not None:
                    traveller.stop()
                traveller = time_machine.travel(began + time.monotonic() - began_at + ahead, tick=True)
                traveller.start()
        pause.wait(LOOK_SECONDS)


def begin() -> None:
    """Follow the file, in this process."""
    threading.Thread(target=follow, daemon=True, name="host clock").start()


begin()
os.register_at_fork(after_in_child=begin)
