"""`portcullis` as a process of its own: exit codes, streams, signals, a terminal, and a reader that goes away."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.client import require_second_factor
from tests.integration.cli_runner import until
from tests.integration.main_app_people import an_admin, an_organization

ROOT = Path(__file__).parents[2]
RING = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def environment(**given: str) -> dict[str, str]:
    """What a process needs to be found, and what it is given."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {"PYTHONPATH": str(ROOT)} | given


def portcullis(*tokens: object, **given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers", *map(str, tokens)]
    return subprocess.run(command, env=environment(**given), capture_output=True, text=True, timeout=60, check=False)


def start(*tokens: object, given: Mapping[str, str], **options: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "workers", *map(str, tokens)], env=environment(**given), **options)


async def until_connected(db: asyncpg.Connection) -> None:
    """Wait until somebody else is connected to this database."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await until(lambda: db.fetchval(others))


@pytest.fixture
async def run(db: asyncpg.Connection) -> int:
    organization = await an_organization(db)
    return await require_second_factor(db, organization, requested_by=await an_admin(db, organization), reason="audit")


def test_from_nothing_to_a_status_with_one_variable(main_app_database_url: str) -> None:
    migrated = portcullis("migrate", "--json", DATABASE_URL=main_app_database_url)
    assert migrated.returncode == 0, migrated.stderr
    assert json.loads(migrated.stdout)["revision"]
    refused = portcullis("status", 1, DATABASE_URL=main_app_database_url)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[0] == "portcullis: There is no run 1"
    assert refused.stdout == ""


def test_a_result_goes_to_standard_output_alone(database_url: str, run: int) -> None:
    told = portcullis("status", run, "--json", DATABASE_URL=database_url)
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["run_id"] == run


def test_wrong_usage_and_a_missing_variable_have_their_codes() -> None:
    assert portcullis("nope").returncode == 2
    missing = portcullis("conductor")
    assert missing.returncode == 4
    assert "Traceback" not in missing.stderr
    for name in ("DATABASE_URL", "REDIS_URL", "SMTP_URL", "MAIL_FROM", "APP_URL", "PORTCULLIS_KEYS"):
        assert f"{name} is missing" in missing.stderr


def test_a_terminal_that_knows_ascii_only_gets_what_it_can_show(database_url: str) -> None:
    refused = portcullis("preview", "Zoë", DATABASE_URL=database_url, PYTHONIOENCODING="ascii")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_reader_that_goes_away_is_no_failure(database_url: str, run: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = start("runs", given={"DATABASE_URL": database_url}, stdout=writing, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=30)
    finally:
        os.close(writing)
    assert (process.returncode, said) == (0, b"")


async def test_ctrl_c_leaves_the_run_alone(database_url: str, db: asyncpg.Connection, run: int) -> None:
    process = start("watch", run, given={"DATABASE_URL": database_url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await until_connected(db)
    await asyncio.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 130
    assert b"The run goes on" in said
    assert b"Traceback" not in said
    assert await db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run) == "running"


async def test_a_terminal_gets_bars(database_url: str, db: asyncpg.Connection, run: int) -> None:
    ours, theirs = pty.openpty()
    given = {"DATABASE_URL": database_url, "TERM": "xterm", "COLUMNS": "120"}
    process = start("watch", run, "--every", "0.1", given=given, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = asyncio.create_task(asyncio.to_thread(read_all, ours))
    await until_connected(db)
    await db.execute("UPDATE portcullis.batch SET state = 'done' WHERE run_id = $1 AND stage = 'plan'", run)
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state, done_at, members, unprotected, sessions_ended)"
        " VALUES ($1, 'enforce', 'done', now(), 1234, 1234, 2000)",
        run,
    )
    await asyncio.sleep(0.5)
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now() WHERE run_id = $1", run)
    text = await asyncio.wait_for(shown, 30)
    assert process.wait(timeout=10) == 0
    assert "sessions" in text
    assert "━" in text
    assert "1,234 of 1,234" in text
    assert f"Run {run} of organization" in text


def read_all(terminal: int) -> str:
    """Read what is shown until the other side is closed."""
    shown = b""
    try:
        while chunk := os.read(terminal, 65_536):
            shown += chunk
    except OSError:  # Linux says so when the last writer has gone
        pass
    finally:
        os.close(terminal)
    return shown.decode()


async def test_a_conductor_leads_through_lost_connections_until_it_is_told_to_stop(
    database_url: str, redis_url: str, db: asyncpg.Connection
) -> None:
    given = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": "smtp://127.0.0.1:1",
        "MAIL_FROM": "Security <security@example.com>",
        "APP_URL": "https://app.example.com",
        "PORTCULLIS_KEYS": RING,
    }
    process = start("conductor", given=given, stderr=subprocess.PIPE)
    try:
        await until(lambda: db.fetchval("SELECT EXISTS (SELECT FROM portcullis.leader WHERE leased_until > now())"))
        for _ in range(5):  # connections may be cut at any moment; it connects anew and goes on
            await db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'")
            await asyncio.sleep(0.2)
        renewed = "SELECT leased_until > $1 FROM portcullis.leader"
        now = await db.fetchval("SELECT now() + interval '5 seconds'")
        await until(lambda: db.fetchval(renewed, now))
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert b"lead_taken" in said
    away = await asyncio.to_thread(portcullis, "conductor", **{**given, "DATABASE_URL": "postgresql://127.0.0.1:1/app"})
    assert away.returncode == 5
    assert "127.0.0.1:1/app" in away.stderr
