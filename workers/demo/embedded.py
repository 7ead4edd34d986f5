"""What every embedded server needs: its program out of a wheel, a free port, a password, a directory of its own."""

import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

LOOPBACK = "127.0.0.1"


class SetupError(Exception):
    """A server can't be had. Says what is missing, and what to do."""

    def __init__(self, missing: str, remedy: str) -> None:
        self.missing = missing
        self.remedy = remedy
        super().__init__(f"{missing}\n  What to do: {remedy}")


def program(package: str, path: str, variable: str) -> Path:
    """Return the file `path` of an installed wheel, without importing the package.

    Raises:
        SetupError: There is no such wheel for this platform; `variable` names the way round.
    """
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise SetupError(
        f"The program {Path(path).name} of the package {package} is not installed; perhaps there is no wheel for this platform.",
        f"run `make .venv` again, or set {variable} to a server of yours.",
    )


def free_port() -> int:
    """Return a loopback port that was free just now; whoever binds it later must be ready to try another."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def password() -> str:
    """Return 192 random bits that need no quoting in a URL or a configuration file."""
    return secrets.token_hex(24)


@contextmanager
def private_directory() -> Iterator[Path]:
    """Make a directory (mode 0700) for one server, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="portcullis-", ignore_cleanup_errors=True) as name:
        yield Path(name)
