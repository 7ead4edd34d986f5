"""Where a demo leaves its letters and logs: a folder of its own under `var/`, which git ignores.

They stay when the demo is over, to be looked at; the next one removes what earlier ones left, so that they don't pile up.
"""

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from workers.demo.embedded import SetupError

PARENT = Path("var")


def own_folder(name: str, *, keep_earlier: bool = False) -> Path:
    """Make and return the absolute `var/NAME/<time>-<process id>`; removes those of processes that have ended.

    Raises:
        SetupError: The current directory can't be written to.
    """
    try:
        if not keep_earlier:
            _remove_those_of_the_dead(PARENT / name)
        folder = PARENT / name / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise SetupError(f"No folder for letters and logs: {error}", f"run it in a directory where {PARENT}/ can be made.") from error
    return folder.resolve()


def _remove_those_of_the_dead(parent: Path) -> None:
    for folder in parent.glob("*-*"):
        if not _is_alive(int(folder.name.rpartition("-")[2])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    with suppress(ProcessLookupError):
        try:
            os.kill(process, 0)
        except PermissionError:
            return True
        return True
    return False
