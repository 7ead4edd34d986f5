"""What the processes of a run cost meanwhile: CPU seconds and memory, by name, and how much the rest of the machine took.

A thread looks five times a second, which takes a percent of a core. Asked afterwards for the time between two moments, so that the
phases of a run can be told apart. Memory is the resident set of the largest process of a name: of `dramatiq`, the worker.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

LOOK_SECONDS = 0.2
RELIST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """CPU seconds used so far by each name, and by everybody on this machine; `at` is Unix time."""

    at: float
    cpu: Mapping[str, float]
    everybody: float


@dataclass(slots=True, kw_only=True)
class Watch:
    """What was seen so far."""

    roots: Mapping[str, list[int]]
    looks: list[Look] = field(default_factory=list)
    resident: dict[str, int] = field(default_factory=dict)
    """Octets, at the most, of the largest process of each name."""

    def cpu(self, begin: float, end: float) -> dict[str, float]:
        """Return CPU seconds by name between two moments (Unix time)."""
        first, last = self._at(begin), self._at(end)
        return {name: last.cpu[name] - first.cpu[name] for name in self.roots}

    def foreign_share(self, begin: float, end: float) -> float:
        """Return which part of all cores' time processes took that are not ours."""
        first, last = self._at(begin), self._at(end)
        ours = sum(last.cpu[name] - first.cpu[name] for name in self.roots)
        available = max(1e-6, (last.at - first.at) * (os.cpu_count() or 1))
        return max(0.0, (last.everybody - first.everybody - ours) / available)

    def _at(self, moment: float) -> Look:
        """Return what a look at that moment would have seen, as if work went on evenly between two looks."""
        for before, after in pairwise(self.looks):
            if before.at <= moment <= after.at:
                part = (moment - before.at) / (after.at - before.at)
                cpu = {name: before.cpu[name] + part * (after.cpu[name] - before.cpu[name]) for name in before.cpu}
                return Look(at=moment, cpu=cpu, everybody=before.everybody + part * (after.everybody - before.everybody))
        return self.looks[0] if moment < self.looks[0].at else self.looks[-1]


@contextmanager
def watching(**roots: list[int]) -> Iterator[Watch]:
    """Watch the processes with these ids and their descendants until the block is left."""
    watch = Watch(roots=roots)
    stop = threading.Event()
    thread = threading.Thread(target=_look_on, args=(watch, stop), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def _look_on(watch: Watch, stop: threading.Event) -> None:
    relist_at = 0.0
    families: dict[str, list[psutil.Process]] = {}
    while True:
        if time.monotonic() >= relist_at:
            families = {name: _family(processes) for name, processes in watch.roots.items()}
            relist_at = time.monotonic() + RELIST_SECONDS
        watch.looks.append(_look(watch, families))
        if stop.wait(LOOK_SECONDS):
            watch.looks.append(_look(watch, families))
            return


def _family(ids: list[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for number in ids:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(number)
            found += [root, *root.children(recursive=True)]
    return found


def _look(watch: Watch, families: Mapping[str, list[psutil.Process]]) -> Look:
    cpu: dict[str, float] = {}
    for name, processes in families.items():
        cpu[name] = 0.0
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                with process.oneshot():
                    times, resident = process.cpu_times(), process.memory_info().rss
                # What ended children used is known to their parent only; a backend of PostgreSQL is such a child.
                cpu[name] += times.user + times.system + times.children_user + times.children_system
                watch.resident[name] = max(watch.resident.get(name, 0), resident)
    everybody = psutil.cpu_times()
    return Look(at=time.time(), cpu=cpu, everybody=everybody.user + everybody.system + everybody.nice + everybody.irq + everybody.softirq)
