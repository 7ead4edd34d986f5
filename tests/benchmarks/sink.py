"""Where the letters of the bench go: Postfix's `smtp-sink`, or a small one of our own where that is not installed.

Each run has a sink of its own, so that what it counted is the letters of that run alone.
"""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.demo import tied
from workers.demo.embedded import LOOPBACK, SetupError, free_port

SECONDS = 10
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

SMTP_SINK = shutil.which("smtp-sink", path=SEARCHED)
SMTP_SOURCE = shutil.which("smtp-source", path=SEARCHED)

REMEDY = (
    "smtp-sink and smtp-source are not installed (Debian, Ubuntu: apt install postfix; no mail server needs to run). Letters go to a small"
    " sink of the bench's own, and the figure against smtp-source is left out."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A sink that listens. `letters` asks how many it has taken, to be asked when nothing is on its way any more."""

    port: int
    process: tied.Process
    letters: Callable[[], int]


@contextmanager
def postfix_sink(folder: Path, *options: str) -> Iterator[Sink]:
    """Run `smtp-sink`, counting (`-c`): it writes a counter after each letter, for `smtp-source` as for us. `options` are its own.

    Raises:
        SetupError: It is not installed or does not start.
    """
    if SMTP_SINK is None:
        raise SetupError("smtp-sink is not installed.", "apt install postfix")
    port, log = free_port(), folder / f"sink-{time.monotonic_ns()}.log"
    # As root it insists on an account to step down to.
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = tied.start([SMTP_SINK, *account, *options, "-c", f"{LOOPBACK}:{port}", "1000"], at_death=signal.SIGTERM, log=log)
    try:
        _until_it_listens(process, port)
        yield Sink(port=port, process=process, letters=lambda: _counted(log))
    finally:
        tied.stop(process, signal.SIGTERM)
        log.unlink(missing_ok=True)


@contextmanager
def own_sink(folder: Path, *, sample: Path | None = None) -> Iterator[Sink]:
    """Run the small sink of the bench. Its `letters` ends it."""
    log = folder / f"sink-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "tests.benchmarks.own_sink", *(["--sample", str(sample)] if sample else [])]
    process = tied.start(command, at_death=signal.SIGTERM, log=log, environment=os.environ)

    def counted() -> dict[str, int]:
        tied.stop(process, signal.SIGTERM)
        counts: dict[str, int] = json.loads(log.read_text().splitlines()[-1])
        return counts

    try:
        yield Sink(port=_announced(process, log), process=process, letters=lambda: counted()["letters"])
    finally:
        tied.stop(process, signal.SIGTERM)


@contextmanager
def a_sink(folder: Path) -> Iterator[Sink]:
    """Run the better of the two."""
    with postfix_sink(folder) if SMTP_SINK else own_sink(folder) as sink:
        yield sink


def octets_a_letter(folder: Path) -> int:
    """Return the mean size of the letters that the last of our own sinks took."""
    log = max(folder.glob("sink-*.log"), key=lambda path: path.stat().st_mtime_ns)
    counts: dict[str, int] = json.loads(log.read_text().splitlines()[-1])
    return round(counts["octets"] / counts["letters"])


def _counted(log: Path) -> int:
    """Read the last counter, which looks like `sess=3 quit=2 mesg=14`."""
    end = log.read_bytes()[-200:].decode(errors="replace")
    _, found, number = end.rpartition("mesg=")
    return int(number.split()[0]) if found else 0


def _until_it_listens(process: tied.Process, port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                probe.recv(100)
                probe.sendall(b"QUIT\r\n")
                return
        time.sleep(0.02)
    raise SetupError("smtp-sink did not start.", "try it by hand: smtp-sink -u nobody 127.0.0.1:2525 100")


def _announced(process: tied.Process, log: Path) -> int:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if "\n" in (said := log.read_text()):
            return int(json.loads(said.partition("\n")[0])["port"])
        time.sleep(0.02)
    raise SetupError(f"The bench's own sink did not start: {log.read_text()}", "read the lines above")
