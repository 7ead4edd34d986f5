"""Which paths are served to somebody who has yet to set up a second factor: the set-up itself, and logging out."""

import re
from collections.abc import Iterable

_AMBIGUOUS = re.compile(r"//|/\.{1,2}(?:/|$)|[\\%;\x00-\x1f\x7f]")
"""What servers, proxies and routers read in different ways."""


class OpenPaths:
    """A path is open when it is one of `paths`, or lies below one that ends in a slash. `set_up_at` and what lies below it is.

    Raises:
        ValueError: A path is not absolute, or would open everything.
    """

    def __init__(self, set_up_at: str, paths: Iterable[str]) -> None:
        given = [set_up_at, *paths]
        for path in given:
            if not path.startswith("/") or path == "/" or _AMBIGUOUS.search(path):
                raise ValueError(f"{path!r} can't be an open path: give an absolute one such as /logout, and never all of them")
        self._exact = frozenset(given)
        self._below = tuple({path for path in given if path.endswith("/")} | {set_up_at.rstrip("/") + "/"})

    def __contains__(self, path: str) -> bool:
        """Whether this decoded path is open. One that could be read in two ways is not."""
        return not _AMBIGUOUS.search(path) and (path in self._exact or path.startswith(self._below))
