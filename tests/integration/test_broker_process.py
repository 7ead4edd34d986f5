"""A worker process under `dramatiq` itself: how it boots, drains, refuses, and dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.integration.broker_app.bench import NEW, OLD, a_broker, a_message, eventually
from workers.broker import PortcullisBroker

pytest_plugins = ["tests.integration.broker_app.fixtures"]

APP = "tests.integration.broker_app.app:broker"
ACTORS = frozenset({"say", "say_elsewhere", "stay", "stay_until_drained", "stay_for_ever", "block"})


@dataclass(frozen=True)
class Running:
    master: subprocess.Popen[bytes]
    diary: Path
    log: Path

    def has(self, line: str) -> bool:
        return line in self.lines()

    def lines(self) -> list[str]:
        return self.diary.read_text().splitlines() if self.diary.exists() else []

    def worker(self) -> psutil.Process:
        """The one process below that is a worker; multiprocessing has another one for itself."""
        children = psutil.Process(self.master.pid).children()
        return next(child for child in children if not any("resource_tracker" in word for word in child.cmdline()))

    def end(self) -> None:
        if self.master.poll() is None:
            for process in psutil.Process(self.master.pid).children():
                process.kill()
            self.master.kill()
        self.master.wait(10)

    def ends_with(self, seconds: float = 40) -> int:
        return self.master.wait(seconds)


@pytest.fixture
def broker(redis_url: str) -> Iterator[PortcullisBroker]:
    broker = a_broker(redis_url, allowed=ACTORS)
    for queue in ("enforce", "notify"):
        broker.declare_queue(queue)
    yield broker
    broker.close()


Start = Callable[..., Running]


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start(*options: str, **environment: str) -> Running:
        diary, log = tmp_path / "diary", tmp_path / "log"
        variables = os.environ | {"REDIS_URL": redis_url, "PORTCULLIS_KEYS": f"{NEW},{OLD}", "DIARY": str(diary), **environment}
        command = [sys.executable, "-m", "dramatiq", APP, "--processes", "1", "--threads", "2", *options]
        with log.open("wb") as output:
            master = subprocess.Popen(command, env=variables, stdout=output, stderr=output, start_new_session=True)
        started.append(Running(master, diary, log))
        return started[-1]

    yield start
    for running in started:
        running.end()


def test_a_worker_runs_on_uvloop_and_opens_and_closes_its_resources_there(start: Start, broker: PortcullisBroker) -> None:
    running = start("--queues", "enforce", "notify")
    broker.enqueue_many([a_message("say", "one"), a_message("say_elsewhere", "two", queue="notify")])
    eventually(lambda: running.has("one") and running.has("two"))
    running.master.terminate()
    assert running.ends_with() == 0
    lines = running.lines()
    assert (lines[0], sorted(lines[1:-1]), lines[-1]) == ("opened on uvloop", ["one", "two"], "closed")


def test_a_process_leaves_the_queues_alone_that_it_was_not_asked_to_serve(start: Start, broker: PortcullisBroker) -> None:
    running = start("--queues", "enforce")
    broker.enqueue_many([a_message("say_elsewhere", "two", queue="notify"), a_message("say", "one")])
    eventually(lambda: running.has("one"))
    assert (running.has("two"), broker.depth("notify").waiting) == (False, 1)


def test_sigterm_lets_actors_end_and_gives_back_at_once_what_nobody_began(start: Start, broker: PortcullisBroker) -> None:
    running = start("--threads", "1")
    broker.enqueue(a_message("stay", 4))
    eventually(lambda: running.has("staying"))
    broker.enqueue(a_message("say_elsewhere", "later", queue="notify"))
    eventually(lambda: broker.depth("notify").taken == 1)
    running.master.terminate()
    eventually(lambda: broker.depth("notify").waiting == 1)
    broker.enqueue(a_message("say", "too late"))
    assert not running.has("stayed"), "what was not begun came back while the actor was still running"
    assert running.ends_with() == 0
    assert running.lines() == ["opened on uvloop", "staying", "stayed", "closed"]
    assert [(broker.depth(queue).waiting, broker.depth(queue).taken) for queue in ("enforce", "notify")] == [(1, 0), (1, 0)]


def test_sigterm_to_the_whole_process_group_drains_too(start: Start, broker: PortcullisBroker) -> None:
    running = start()
    broker.enqueue(a_message("stay", 3))
    eventually(lambda: running.has("staying"))
    os.killpg(running.master.pid, signal.SIGTERM)
    assert running.ends_with() == 0
    assert running.lines()[-2:] == ["stayed", "closed"]


def test_an_actor_learns_that_a_shutdown_has_begun(start: Start, broker: PortcullisBroker) -> None:
    running = start()
    broker.enqueue(a_message("stay_until_drained").copy(args=()))
    eventually(lambda: running.has("waiting"))
    running.master.terminate()
    assert running.ends_with() == 0
    assert running.has("drained")


def test_an_actor_that_outlives_the_patience_is_cancelled_before_the_resources_close(start: Start, broker: PortcullisBroker) -> None:
    running = start("--worker-shutdown-timeout", "1000")
    broker.enqueue(a_message("stay_for_ever").copy(args=()))
    eventually(lambda: running.has("staying"))
    running.master.terminate()
    running.ends_with()
    assert running.lines()[-2:] == ["cancelled", "closed"]


def test_a_worker_that_can_not_open_its_resources_does_not_start(start: Start, broker: PortcullisBroker) -> None:
    running = start(REFUSE="yes")
    broker.enqueue(a_message("say", "hello"))
    assert running.ends_with() == 1
    log = running.log.read_text()
    assert "the worker can't start: opening the worker's resources failed: OSError: the pool is closed today" in log
    assert broker.depth("enforce").waiting == 1


def test_a_blocked_event_loop_ends_the_process_with_70_and_says_where(start: Start, broker: PortcullisBroker) -> None:
    running = start("--threads", "1")
    broker.enqueue(a_message("block").copy(args=()))
    assert running.ends_with() == 70
    log = running.log.read_text()
    assert "loop_stuck" in log
    assert "time.sleep(60)" in log


def test_a_worker_that_was_killed_leaves_its_message_to_others(start: Start, broker: PortcullisBroker) -> None:
    running = start()
    broker.enqueue(a_message("stay", 30))
    eventually(lambda: running.has("staying"))
    running.worker().kill()
    assert running.ends_with() == 1
    assert broker.depth("enforce").taken == 1
    assert broker.queues["enforce"].redis.recover(dead_after_ms=0) == 1
    assert broker.depth("enforce").waiting == 1


def test_a_worker_whose_parent_was_killed_drains(start: Start, broker: PortcullisBroker) -> None:
    running = start()
    broker.enqueue(a_message("stay", 3))
    eventually(lambda: running.has("staying"))
    worker = running.worker()
    running.master.kill()
    worker.wait(40)
    assert running.lines()[-2:] == ["stayed", "closed"]
