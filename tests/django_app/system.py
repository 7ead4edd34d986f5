"""Portcullis at work beside the project: the processes of the Procfile, and a mail server that keeps every letter.

Nothing outlives the test process, not even one that is killed.
"""

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from time import monotonic, sleep

from workers.demo import tied

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
WORKERS = ("conductor", "enforcer", "mailer")
SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter as the mail server got it. `kind` is what its Feedback-ID says."""

    recipient: str
    kind: str
    subject: str
    text: str


@contextmanager
def mail_server(directory: Path) -> Iterator[int]:
    """Run a mail server that keeps letters below `directory`; yields its port."""
    log = directory / "mail-server.log"
    command = [sys.executable, "-m", "workers.demo.receiver", "--maildir", str(directory / "letters")]
    with _running(command, log=log, environment=dict(os.environ)):
        yield int(json.loads(_first_line(log))["listening"])


@contextmanager
def workers(directory: Path, *, database_url: str, redis_url: str, smtp_port: int) -> Iterator[None]:
    """Run one process of each kind, as `honcho start` would."""
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "MAIL_FROM": "Example Security <security@app.example.com>",
        "APP_URL": "https://app.example.com",
        "PORTCULLIS_KEYS": "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines())
    commands = {name: shlex.split(command) for name, _, command in lines}
    with ExitStack() as stack:
        for name in WORKERS:
            program, *options = commands[name]
            command = [str(PROGRAMS / program), *options]
            stack.enter_context(_running(command, log=directory / f"{name}.log", environment=environment))
        yield


def letters(directory: Path) -> list[Letter]:
    """Return every letter that the mail server took."""
    return [_read(letter) for letter in (directory / "letters" / "new").glob("*")]


def _read(file: Path) -> Letter:
    letter = message_from_bytes(file.read_bytes(), policy=policy.default)
    text = letter.get_body(("plain",))
    assert text, letter
    return Letter(
        recipient=letter["Delivered-To"],
        kind=letter["Feedback-ID"].partition(":")[0],
        subject=letter["Subject"],
        text=text.get_content(),
    )


@contextmanager
def _running(command: list[str], *, log: Path, environment: dict[str, str]) -> Iterator[None]:
    process = tied.start(command, at_death=signal.SIGTERM, log=log, environment=environment)
    try:
        yield
    finally:
        tied.stop(process, signal.SIGTERM, seconds=20)


def _first_line(log: Path) -> str:
    deadline = monotonic() + SECONDS
    while "\n" not in (said := log.read_text()):
        assert monotonic() < deadline, said
        sleep(0.05)
    return said.partition("\n")[0]
