"""The worker processes of the Procfile, several of each kind, and a supervisor that starts again whatever has ended."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from workers.demo import tied
from workers.demo.processes import PROCFILE

LOOK_SECONDS = 0.1

HOST_CLOCK = Path(__file__).with_name("host_clock")
ON_FIRST_HOST = "-1"
"""Processes with this end of a name share a clock that may be set."""


class Crew:
    """Processes by name: `enforcer-1`, ... `ended` counts, by kind, the times one ended without having been asked to."""

    def __init__(self, environment: Mapping[str, str], directory: Path, **numbers: int) -> None:
        self._environment = {**os.environ, **environment}
        self._directory = directory
        self._names = [f"{kind}-{number}" for kind, count in numbers.items() for number in range(1, count + 1)]
        self._processes: dict[str, tied.Process] = {}
        self._stopping = False
        self.ended = dict.fromkeys(numbers, 0)
        self._clock = directory / "clock"
        self.set_clock(0)

    def start(self) -> None:
        """Start every process."""
        for name in self._names:
            self._start(name)

    def pause_all(self) -> None:
        """End every process as `kill -9` does, and start none until `start`."""
        self._stopping = True
        for name in self._names:
            self._family_dies(name)
            self.ended[name.partition("-")[0]] += 1

    def resume_all(self) -> None:
        """Start every process again."""
        self.start()
        self._stopping = False

    async def supervise(self) -> None:
        """Start again whatever has ended, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._stopping:
                continue
            for name in self._names:
                if self._processes[name].poll() is not None:
                    self.ended[name.partition("-")[0]] += 1
                    self._start(name)

    def kill(self, kind: str, random: Random) -> str:
        """Kill one process of a kind: the parent, its worker, or both; says which."""
        name = random.choice([name for name in self._names if name.startswith(kind)])
        whom = random.choice(["parent", "worker", "both"])
        if whom == "both":
            self._family_dies(name)
        else:
            with suppress(psutil.NoSuchProcess, IndexError):  # it may have ended just now
                self._family(name)[0 if whom == "parent" else -1].kill()
        return f"{whom} of {name}"

    def family(self, kind: str, random: Random) -> list[psutil.Process]:
        """Return all processes of one of a kind."""
        return self._family(random.choice([name for name in self._names if name.startswith(kind)]))

    def members(self, kind: str) -> list[psutil.Process]:
        """Return the last process of each family of a kind: the one that works."""
        return [family[-1] for name in self._names if name.startswith(kind) and (family := self._family(name))]

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock of the first process of each kind, so many seconds ahead of everybody's."""
        written = self._clock.with_suffix(".new")
        written.write_text(str(seconds))
        written.replace(self._clock)

    def stop(self) -> None:
        """Ask all to end, and wait."""
        self._stopping = True
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 25
        for process in self._processes.values():
            tied.stop(process, signal.SIGTERM, seconds=max(0.1, deadline - time.monotonic()))

    def _start(self, name: str) -> None:
        kind = name.partition("-")[0]
        log = self._directory / f"{name}.log"
        own_clock = self._own_clock() if name.endswith(ON_FIRST_HOST) else {}
        self._processes[name] = tied.start(_command(kind), at_death=signal.SIGKILL, log=log, environment=self._environment | own_clock)

    def _own_clock(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(HOST_CLOCK), self._environment.get("PYTHONPATH")]))
        return {"PYTHONPATH": path, "HOST_CLOCK": str(self._clock)}

    def _family(self, name: str) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._processes[name].pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _family_dies(self, name: str) -> None:
        for process in self._family(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._processes[name].wait()


def _command(kind: str) -> list[str]:
    lines = dict(line.split(": ", 1) for line in PROCFILE.read_text().splitlines() if ": " in line)
    program, *arguments = shlex.split(lines[kind])
    return [sys.executable, str(Path(sys.executable).parent / program), *arguments]
