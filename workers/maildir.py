"""A folder of mail as mail servers deliver into it (Maildir): what is in `new` waits, what is done with moves to `cur`, marked as seen.

A message is moved by one rename, after whatever it asked for is committed. Whoever is killed in between finds it in `new` again.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jobs.failpoints import reach

SEEN = ":2,S"


class NoMaildirError(Exception):
    """There is no Maildir, or it may not be read; the text says which."""


class Maildir:
    """One Maildir. Any number of readers may share it: each message is moved once, by whoever comes first."""

    def __init__(self, folder: Path) -> None:
        self._new, self._cur = folder / "new", folder / "cur"
        if not self._new.is_dir():
            raise NoMaildirError(f"{folder} is no Maildir: it has no folder `new`")

    def waiting(self) -> Iterator[Path]:
        """Yield what waits, the oldest name first. Whatever is no plain file is passed over.

        Raises:
            NoMaildirError: It may not be read.
        """
        try:
            names = sorted(path.name for path in self._new.iterdir())
        except OSError as error:
            raise NoMaildirError(f"{self._new} can't be read: {error.strerror}") from error
        for name in names:
            path = self._new / name
            with suppress(FileNotFoundError):  # another reader was quicker
                if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                    yield path

    def file_away(self, path: Path) -> None:
        """Move a message that is done with.

        Raises:
            NoMaildirError: It can't be moved, and would be read again for ever.
        """
        reach("before_file_away")
        try:
            self._cur.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                path.rename(self._cur / (path.name.partition(":")[0] + SEEN))
        except OSError as error:
            raise NoMaildirError(f"messages can't be moved to {self._cur}: {error.strerror}") from error


def read_head(path: Path, octets: int) -> bytes | None:
    """Return the first `octets` of a message, or `None` if it is gone by now. No link is followed, no pipe is waited for.

    Raises:
        NoMaildirError: It may not be read.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(octets)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoMaildirError(f"{path} can't be read: {error.strerror}") from error
