"""A mailer that is started with something wrong says what, in one go, and sends nothing; what it owes is still owed.

So does the command that sends a letter to try. A limit of -1 that is ordered while mailers run is in test_cli_steering and
test_mailer_orders, a DSN of 50 MB and a forged sender are in test_cli_bounces, broken catalogues of every kind in
test_letters_gettext_files.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.builders import a_member, an_organization
from tests.integration.cli_runner import Cli
from tests.integration.test_cli_rotating import ring_text
from tests.relay import Relay
from workers.cli.exit_codes import ExitCode

START = [sys.executable, "-m", "dramatiq", "workers.main:broker", "--queues", "notify", "--processes", "1", "--threads", "1"]


def templates(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return str(folder)


FAULTS = {
    "unknown variable": ("PORTCULLIS_TEMPLATES", ("protected/body.txt", "Dear {{ nmae }}"), "protected/body.txt"),
    "broken catalogue": ("PORTCULLIS_TEMPLATES", ("locales/de.po", 'msgid "Hello,"\nmsgstr "Guten Tag\n'), "no usable catalogue: line 2:"),
    "unknown colour": ("PORTCULLIS_COLOURS", "link=purple", "link must be a colour such as"),
    "relay with a typo": ("SMTP_URL", "smpt://127.0.0.1:25", "the scheme must be one of smtp, smtps, smtp+starttls"),
    "limit of -1": ("PORTCULLIS_RELAY_RATE", "-1", "greater than or equal to 0"),
    "bounce address without room": ("PORTCULLIS_BOUNCE_ADDRESS", "everything-that-bounces@x.example", "at most 12 characters"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_said_and_nothing_is_sent_or_lost(
    name: str, db: asyncpg.Connection, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    organization = await an_organization(db)
    member = await a_member(db, organization.id)
    await db.execute("INSERT INTO portcullis.factor_letter (user_id, letter) VALUES ($1, 'factor_reset')", member.id)
    variable, given, said = FAULTS[name]
    async with Relay() as relay:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SMTP_URL": f"smtp://127.0.0.1:{relay.port}",
            "MAIL_FROM": "Example Security <security@example.com>",
            "APP_URL": "https://app.example.com",
            "PORTCULLIS_KEYS": ring_text("k1"),
            variable: given if isinstance(given, str) else templates(tmp_path, *given),
        }
        ended = await asyncio.to_thread(
            subprocess.run, START, env=os.environ | environment, check=False, capture_output=True, text=True, timeout=60
        )
    assert ended.returncode != 0
    assert said in ended.stdout + ended.stderr
    assert variable in ended.stdout + ended.stderr
    assert relay.connections == 0
    assert await db.fetchval("SELECT state = 'owed' AND attempts = 0 FROM portcullis.factor_letter")


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("limit of -1", "bounce address without room")])
async def test_a_letter_to_try_is_not_sent_with_a_fault_either(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variable, given, said = FAULTS[name]
    async with Relay() as relay:
        environment = {
            "SMTP_URL": f"smtp://127.0.0.1:{relay.port}",
            "MAIL_FROM": "Example Security <security@example.com>",
            "APP_URL": "https://app.example.com",
            "PORTCULLIS_KEYS": ring_text("k1"),
            variable: given if isinstance(given, str) else templates(tmp_path, *given),
        }
        told = await Cli(monkeypatch, capsys, environment)("letters", "send-test", "ada@example.com")
    assert (told.code, relay.connections) == (ExitCode.NOT_SET_UP, 0)
    assert f"- {variable}: " in told.err
    assert said in told.err
