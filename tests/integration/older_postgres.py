"""A PostgreSQL of an older version, where the machine has one: what an adopter may run, and what has ICU collations."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.demo import embedded, postgres_server, tied

DEBIANS = Path("/usr/lib/postgresql/15/bin")
"""Where Debian 12 keeps PostgreSQL 15."""

SETTINGS = {
    name: value
    for name, value in (postgres_server.SETTINGS | postgres_server.NOT_DURABLE).items()
    if name != "scram_iterations"  # came with PostgreSQL 16
}


def is_installed() -> bool:
    return (DEBIANS / "initdb").is_file()


@contextmanager
def older_postgres() -> Iterator[str]:
    """Run it on a free loopback port and yield a URL; it does not outlive the calling process."""
    with embedded.private_directory() as directory:
        account = postgres_server._account()
        postgres_server._hand_over(directory, account)
        _create_cluster(directory, account)
        process, port = postgres_server._start(DEBIANS, directory, account, SETTINGS)
        try:
            yield f"postgresql://postgres@{embedded.LOOPBACK}:{port}/postgres"
        finally:
            tied.stop(process, signal.SIGQUIT)


def _create_cluster(directory: Path, account: str | None) -> None:
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    command: list[str | Path] = [DEBIANS / "initdb", "--pgdata", directory / "data", *options]
    process = tied.start(command, at_death=signal.SIGTERM, log=directory / "initdb.log", user=account)
    if process.wait(120) != 0:
        raise subprocess.CalledProcessError(process.returncode, "initdb", (directory / "initdb.log").read_bytes())
