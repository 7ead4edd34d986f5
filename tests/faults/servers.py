"""The servers that a nemesis may break: PostgreSQL and the relay, each on an address that it keeps through every restart.

Valkey has one already: `OwnValkey` of the broker's tests.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.relay import Rule
from workers.demo import embedded, postgres_server, tied

NOT_TO_DISK = {"fsync": "off", "full_page_writes": "off", "max_connections": "60", "shared_buffers": "128MB"}
"""What a killed *process* loses is lost here too; only a machine's end is not survived."""


class OwnPostgres:
    """A cluster of its own, started again with the same data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._account = postgres_server._account()
        postgres_server._hand_over(directory, self._account)
        self._binaries = postgres_server._reachable_binaries(directory, self._account)
        password = postgres_server._create_cluster(self._binaries, directory, self._account)
        self.port = embedded.free_port()
        self._process: tied.Process | None = None
        self._user = f"postgres:{password}"

    def url(self, *, port: int | None = None, database: str = "postgres") -> str:
        """Where it answers; at a proxy's port, if one is given."""
        return f"postgresql://{self._user}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it is ready, recovery included."""
        options = [f"--{name}={value}" for name, value in (postgres_server.SETTINGS | NOT_TO_DISK).items()]
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._directory / "data", "-p", str(self.port), *options]
        log = self._directory / "postgres.log"
        self._process = tied.start(command, at_death=signal.SIGQUIT, log=log, user=self._account)
        if not postgres_server._is_ready(self._process, self._directory / "data" / "postmaster.pid"):
            raise postgres_server._failed("did not start", log)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it; by default at once, without a last checkpoint, so that it recovers at its next start."""
        if self._process is not None:
            tied.stop(self._process, number)


class OwnRelay:
    """`tests.relay` as a process; its log goes on through restarts, so it is what the world saw."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "accepted.jsonl"
        self.port = embedded.free_port()
        self._rules = directory / "rules.jsonl"
        self._output = directory / "relay.log"
        self._process: tied.Process | None = None
        self.log.touch()
        self._rules.touch()

    def start(self, *more: str) -> None:
        """Start it, with more of its options."""
        command = [sys.executable, "-m", "tests.relay", "--port", str(self.port), "--log", str(self.log), "--rules", str(self._rules)]
        command += ["--auth", *more]
        environment = {"PYTHONPATH": str(Path.cwd())}
        before = self._output.stat().st_size if self._output.exists() else 0
        self._process = tied.start(command, at_death=signal.SIGKILL, log=self._output, environment=environment)
        deadline = time.monotonic() + 20
        while b"listening" not in self._output.read_bytes()[before:]:
            assert self._process.poll() is None, self._output.read_text()
            assert time.monotonic() < deadline, "the relay did not start"
            time.sleep(0.02)

    def obey(self, rules: Sequence[Rule]) -> None:
        """Replace the rules."""
        names = [name for name in Rule.__slots__ if name != "__weakref__"]
        self._rules.write_text("".join(json.dumps({name: getattr(rule, name) for name in names}) + "\n" for rule in rules))
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            tied.stop(self._process)
