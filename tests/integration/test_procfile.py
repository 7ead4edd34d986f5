"""The Procfile's processes under honcho: ready by themselves, and gone in order when asked to end."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from workers.demo.patience import READY_SECONDS, until_ready
from workers.demo.processes import PROCFILE, procfile, release


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    """Everything that the processes are told, but for the database; nobody answers at this relay."""
    return {
        "REDIS_URL": redis_url,
        "SMTP_URL": "smtp://127.0.0.1:9",
        "MAIL_FROM": "security@kestrel.example",
        "APP_URL": "https://app.kestrel.example",
        "PORTCULLIS_CONSOLE_ADDRESS": "127.0.0.1:0",
        "PORTCULLIS_METRICS_ADDRESS": "127.0.0.1:0",
        "PORTCULLIS_KEYS": f"test:{base64.b64encode(bytes(32)).decode()}",
    }


def events(log: Path, process: str) -> Iterator[str]:
    for line in log.read_text().splitlines():
        if process in line and (found := re.search(r"\{.*\}$", line)):
            yield json.loads(found[0])["event"]


STARTED = {"console": "console_started", "metrics": "metrics_serving", "auditor": "auditor_started"}
"""What a process says when it is up. Workers and conductors announce themselves in PostgreSQL."""


async def until_all_are_up(log: Path) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not all(event in events(log, process) for process, event in STARTED.items()):  # noqa: ASYNC110 -- a log is looked at
            await asyncio.sleep(0.1)


async def test_all_processes_come_up_and_drain_when_they_are_asked_to_end(
    database_url: str, db: asyncpg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with procfile({**environment, "DATABASE_URL": database_url}, log) as processes:
        await until_ready(db, processes)
        await until_all_are_up(log)
    assert "worker_stopped" in events(log, "enforcer")
    assert "worker_stopped" in events(log, "mailer")
    assert "console_stopped" in events(log, "console")
    assert "auditor_stopped" in events(log, "auditor")
    assert "metrics_stopped" in events(log, "metrics")
    assert "Killing" not in log.read_text()
    assert await db.fetchval("SELECT count(*) FROM portcullis.worker") == 0
    assert await db.fetchval("SELECT count(*) FROM portcullis.leader WHERE leased_until > now()") == 0


def test_the_release_process_installs_the_schema(main_app_database_url: str, environment: dict[str, str], tmp_path: Path) -> None:
    release({**environment, "DATABASE_URL": main_app_database_url}, tmp_path / "log")
    release({**environment, "DATABASE_URL": main_app_database_url}, tmp_path / "log")


def test_dramatiq_is_given_our_broker_and_not_left_to_an_empty_one_of_its_own() -> None:
    commands = [line for line in PROCFILE.read_text().splitlines() if "dramatiq" in line]
    assert len(commands) == 2
    assert all("workers.main:broker" in command for command in commands)
