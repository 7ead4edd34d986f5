"""A demo's letters stay until the next one, and never longer than their process where that still runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.demo.embedded import SetupError
from workers.demo.folder import own_folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_process_that_has_ended() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def left_by(process: int) -> Path:
    folder = Path("var/demo") / f"20260101T000000Z-{process}"
    (folder / "letters").mkdir(parents=True)
    return folder


def test_it_is_private_and_says_whose_it_is(here: Path) -> None:
    folder = own_folder("demo")
    assert folder.parent == here / "var" / "demo"
    assert folder.name.endswith(f"-{os.getpid()}")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_an_ended_demo_left_is_removed_and_a_running_ones_stays() -> None:
    ended, running = left_by(a_process_that_has_ended()), left_by(os.getppid())
    own_folder("demo")
    assert not ended.exists()
    assert running.exists()


def test_what_an_ended_demo_left_is_kept_on_request() -> None:
    ended = left_by(a_process_that_has_ended())
    own_folder("demo", keep_earlier=True)
    assert ended.exists()


def test_a_directory_without_room_for_it_is_named(here: Path) -> None:
    (here / "var").write_text("a file")
    with pytest.raises(SetupError, match="run it in a directory"):
        own_folder("demo")
