"""`make help` tells of every target, and a set-up that fails says what to do."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*arguments: str, directory: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *arguments], cwd=directory, capture_output=True, text=True, check=False)


def test_help_tells_of_every_target() -> None:
    targets = set(re.findall(r"^\.PHONY: ([a-z][a-z-]*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"^  make ([a-z-]+) +\S", make("help").stdout, re.MULTILINE))
    assert targets >= {"help", "demo", "up", "test", "check", "lock", "audit"}
    assert told == targets


def test_without_a_python_that_is_new_enough_it_says_which_one_to_install(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    failed = make(".venv", "PYTHONS=no-such-python", directory=tmp_path)
    assert failed.returncode != 0
    assert "No Python 3.11 or newer was found (looked for: no-such-python)" in failed.stderr
    assert "What to do: install one" in failed.stderr


def test_what_has_to_pass_is_make_test_and_nothing_else() -> None:
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "make test"
    assert all(line.startswith(("set ", "cd ")) for line in commands[:-1])
