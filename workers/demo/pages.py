"""The reference main app's pages, where they can be had: in a checkout, with the `dev` packages.

They live among the tests, which are no part of the package; so they are a process that is started from the checkout, never an import.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import workers
from workers.demo import tied
from workers.demo.embedded import SetupError
from workers.demo.foundation import Foundation
from workers.demo.processes import START_SECONDS, tail

CHECKOUT = Path(workers.__file__).parents[1]
NEEDED = ("starlette", "uvicorn", "python_multipart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Where they are, and whom one can sign in as: the admin by SSO, the member by password."""

    url: str
    admin: str
    member: str
    password: str


@contextmanager
def main_app_pages(built: Foundation, organization_id: object) -> Iterator[Pages | None]:
    """Serve them for a seeded organization until the block is left; `None`: this is no checkout, or packages are missing.

    Raises:
        SetupError: They did not start.
    """
    if not (CHECKOUT / "tests" / "main_app").is_dir() or not all(map(find_spec, NEEDED)):
        yield None
        return
    log = built.directory / "main-app.log"
    command = [sys.executable, "-m", "tests.main_app", "--demo", str(organization_id)]
    process = tied.start(command, at_death=signal.SIGTERM, log=log, environment=built.environment | {"PYTHONPATH": str(CHECKOUT)})
    try:
        yield Pages(**json.loads(_first_line(process, log)))
    finally:
        tied.stop(process, signal.SIGTERM)


def _first_line(process: tied.Process, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if (line := log.read_text().partition("\n"))[1]:
            return line[0]
        time.sleep(0.05)
    raise SetupError(f"The main app's pages did not start:\n{tail(log)}", "read the lines above.")
