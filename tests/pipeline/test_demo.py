"""The demo as somebody runs it: it tells, it checks, it leaves nothing running however it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Databases
from workers.demo.servers import Servers

DEMO = """
import asyncio, sys
from workers.demo.story import run_demo
sys.exit(asyncio.run(run_demo(users={users}, as_json=True)))
"""


def a_demo(directory: Path, servers: Servers, *, users: int = 120, **environment: str) -> "subprocess.Popen[str]":
    """One in a directory of its own, on the servers of this test run: the embedded ones have tests of their own."""
    given = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "PYTHONPATH": str(Path.cwd()), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", DEMO.format(users=users)],
        cwd=directory,
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def wait_for_the_switch(demo: "subprocess.Popen[str]") -> None:
    assert demo.stdout is not None
    told = [""]
    while "requires two-factor" not in told[-1]:
        told.append(demo.stdout.readline())
        assert told[-1], f"the demo ended too early: {''.join(told)}"


@pytest.fixture
def swept(databases: Databases) -> Iterator[None]:
    """Drops what a demo that was killed could not drop itself."""
    yield
    for (name,) in databases.admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'portcullis_demo_%'").fetchall():
        databases.drop(name)


def test_the_demo_adds_up_and_prints_the_runs_status_last(tmp_path: Path, servers: Servers) -> None:
    with a_demo(tmp_path, servers) as demo:
        told, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, told
    status = json.loads(told.splitlines()[-1])
    assert status["state"] == "done"
    assert status["members"] == 120 == sum(status["verdicts"].values()) == sum(status["letters"].values())
    assert "Everything adds up." in told
    letters = list(tmp_path.glob("var/demo/*/letters/new/*"))
    assert len(letters) == status["letters"]["accepted"] + 1
    assert told.count("Subject: ") == 3


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_runs_on_when_the_demo_is_ended_by(end: signal.Signals, tmp_path: Path, servers: Servers, swept: None) -> None:
    with a_demo(tmp_path, servers, users=3000) as demo:
        wait_for_the_switch(demo)
        started = children(demo)
        assert any("honcho" in " ".join(process.cmdline()) for process in started)
        demo.send_signal(end)
        demo.communicate(timeout=60)
    _, left = psutil.wait_procs(started, timeout=20)
    assert not left
    assert demo.returncode != 0


def test_a_demo_that_cannot_be_set_up_says_what_to_do(tmp_path: Path, servers: Servers) -> None:
    with a_demo(tmp_path, servers, DATABASE_URL="postgresql://nobody:wrong@127.0.0.1:1/none") as demo:
        told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert "could not be set up" in told
    assert "What to do: give DATABASE_URL a role" in told
    assert "wrong" not in told


def test_a_process_that_ends_by_itself_ends_the_story(tmp_path: Path, servers: Servers) -> None:
    with a_demo(tmp_path, servers, users=3000) as demo:
        wait_for_the_switch(demo)
        started = children(demo)
        conductor = next(process for process in started if process.cmdline()[-1:] == ["conductor"])
        conductor.kill()
        told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "a process of the Procfile has ended" in told
    _, left = psutil.wait_procs(started, timeout=20)
    assert not left
