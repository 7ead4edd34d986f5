"""Named places at which a test has this process killed: `reach("after_claim")`.

Off, which is always unless the process was *started* with `PORTCULLIS_FAILPOINTS` naming a folder, a place costs one comparison. On, a
process that reaches the place whose name is a file in that folder takes the file away and ends as by `kill -9`, so that each file kills
once. They may stay in production because what is tested is then what runs, and because nothing but the environment at start can arm
them: no message, row or setting is looked at, and whoever chooses a worker's environment can end it anyway.
"""

import os
import signal
from pathlib import Path

REACHED = ".reached"
"""What is appended to the file's name when it has killed."""

_folder = Path(given) if (given := os.environ.get("PORTCULLIS_FAILPOINTS")) else None


def reach(name: str) -> None:
    """End this process here if a test wants that."""
    if _folder is not None:
        _die_if_armed(_folder / name)


def _die_if_armed(place: Path) -> None:
    try:
        place.rename(place.with_name(place.name + REACHED))  # atomic: of two processes one dies
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
