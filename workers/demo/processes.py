"""The processes of the demo: those of the Procfile under honcho, as anybody would start them, and the mail server."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import workers
from workers.demo import tied
from workers.demo.embedded import SetupError

PROCFILE = Path(workers.__file__).parents[1] / "Procfile"
START_SECONDS = 30
DRAIN_SECONDS = 15
"""honcho gives its processes 5 seconds before it kills them."""


@contextmanager
def mail_server(maildir: Path, log: Path) -> Iterator[int]:
    """Run the receiver of this package; yields its loopback port. Its counts are the last line of `log` afterwards."""
    command = [sys.executable, "-m", "workers.demo.receiver", "--maildir", str(maildir)]
    process = tied.start(command, at_death=signal.SIGTERM, log=log, environment=os.environ)
    try:
        yield int(json.loads(_first_line(process, log))["listening"])
    finally:
        tied.stop(process, signal.SIGTERM)


def release(environment: Mapping[str, str], log: Path) -> None:
    """Run the Procfile's `release`: install or upgrade the schema.

    Raises:
        SetupError: It failed; carries the end of its log.
    """
    process = _honcho(["release"], environment, log)
    try:
        code = process.wait(START_SECONDS * 4)
    finally:
        tied.stop(process, signal.SIGTERM)
    if code != 0:
        raise SetupError(f"`portcullis migrate` failed:\n{tail(log)}", "read the lines above; `portcullis doctor` names what is wrong.")


@contextmanager
def procfile(environment: Mapping[str, str], log: Path | None) -> Iterator[tied.Process]:
    """Run every process of the Procfile but `release`; without `log` they write to our own output.

    When one of them ends, honcho ends the others and itself: whoever waits for something should look at the yielded process.
    """
    process = _honcho(["--concurrency", "release=0"], environment, log)
    try:
        yield process
    finally:
        tied.stop(process, signal.SIGTERM, seconds=DRAIN_SECONDS)


def tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log, for people."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _honcho(what: list[str], environment: Mapping[str, str], log: Path | None) -> tied.Process:
    # No .env of the directory that we happen to be in; no colours in a log.
    command = [sys.executable, "-m", "honcho", "--env", os.devnull, "--procfile", str(PROCFILE), "--no-colour", "start", *what]
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    return tied.start(command, at_death=signal.SIGTERM, log=log, environment={**environment, "PATH": path})


def _first_line(process: tied.Process, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if "\n" in (said := log.read_text()):
            return said.partition("\n")[0]
        time.sleep(0.02)
    raise SetupError(f"The mail server did not start:\n{tail(log)}", "read the lines above.")
