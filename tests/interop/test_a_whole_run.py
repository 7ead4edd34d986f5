"""A whole run of real processes through real mail servers, and a letter that comes back: accepted, refused later, reported, suppressed."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.builders import Organization, a_member, an_organization
from tests.interop.mail_servers import MailServer, opensmtpd, postfix, sink
from tests.pipeline.system import ROOT, System

BOUNCES = "bounces@mail.example.com"
UNKNOWN = "550 5.1.1 this mailbox is unknown here"


@dataclass
class Interop(System):
    """The system of the tests of processes, with a mail server of ours in place of the scripted relay."""

    @property
    def environment(self) -> dict[str, str]:
        """As theirs, and where letters come back to."""
        return super().environment | {"PORTCULLIS_BOUNCE_ADDRESS": BOUNCES}

    def portcullis(self, *words: str) -> Any:
        """Run a verb and return its document."""
        command = [sys.executable, "-m", "workers", *words, "--json"]
        ran = subprocess.run(command, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
        assert "@" not in ran.stderr, ran.stderr
        return json.loads(ran.stdout)


async def until(condition: Callable[[], Any], system: Interop, *, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, system.logs()
        await asyncio.sleep(0.1)
    return found


async def people(db: asyncpg.Connection, domain: str, *more: str) -> Organization:
    """Add an organization whose members have mailboxes at a domain; `more` are added as they are."""
    organization = await an_organization(db)
    await db.execute("UPDATE app.users SET email = $2 WHERE user_id = $1", organization.admin.id, f"m0@{domain}")
    addresses = [*(f"m{number}@{domain}" for number in range(1, 20)), *more]
    members = [await a_member(db, organization.id, email=address) for address in addresses]
    return Organization(id=organization.id, admin=organization.admin, members=members)


async def a_run(system: Interop, db: asyncpg.Connection, organization: Organization) -> dict[str, Any]:
    """Start what it takes, switch on, and return the status of the run when it is done and its report has left."""
    for name in ("conductor", "enforcer", "mailer"):
        system.start(name)
    run = await db.fetchval("SELECT portcullis.require_second_factor($1, $2, 'audit')", organization.id, organization.admin.id)
    status = "SELECT portcullis.run_status($1)"

    async def is_done() -> bool:
        found = json.loads(await db.fetchval(status, run))
        return bool(found["state"] == "done" and found["batches"]["open"] == 0)

    await until(is_done, system)
    found: dict[str, Any] = json.loads(await db.fetchval(status, run))
    return found


async def test_through_opensmtpd_everybody_hears_once(db: asyncpg.Connection, database_url: str, redis_url: str, tmp_path: Path) -> None:
    with opensmtpd() as server:
        system = Interop(tmp_path, database_url, redis_url, relay_port=server.port)
        try:
            organization = await people(db, "opensmtpd.example", "nobody@elsewhere.example")
            status = await a_run(system, db, organization)
            await until(lambda: _true(len(server.letters("mail")) == 21), system)
        finally:
            system.stop()
        letters = server.letters("mail")
    assert (status["members"], status["letters"]["accepted"], status["letters"]["refused"]) == (21, 20, 1)
    assert len({line for letter in letters for line in letter.splitlines() if line.startswith(b"Message-ID:")}) == 21
    assert all(b"Return-Path: <bounces+" in letter for letter in letters if b"Return-Path" in letter)


async def test_a_letter_comes_back_through_postfix_and_its_address_is_suppressed(
    db: asyncpg.Connection, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with sink("-f", "RCPT", "-B", UNKNOWN) as elsewhere, postfix(onward=elsewhere) as server:
        system = Interop(tmp_path, database_url, redis_url, relay_port=server.port)
        try:
            organization = await people(db, "postfix.example", "gone@late.example", "nobody@postfix.example")
            gone = organization.members[-2]
            status = await a_run(system, db, organization)
            assert (status["members"], status["letters"]["accepted"], status["letters"]["refused"]) == (22, 21, 1)
            await until(lambda: _true(server.letters("bounces")), system)
            _is_a_report_of(server)
            read = system.portcullis("bounces", "read", "--maildir", str(server.mail / "bounces"))
            again = system.portcullis("bounces", "read", "--maildir", str(server.mail / "bounces"))
        finally:
            system.stop()
        assert len(server.letters("members")) == 21  # twenty notices and the report
    assert (read["messages"], read["bounced"], again["messages"]) == (1, 1, 0)
    [letter] = read["letters"]
    assert (letter["member"], letter["status"], letter["is_suppressed"]) == (str(gone.id), "5.1.1", True)
    after = json.loads(await db.fetchval("SELECT portcullis.run_status($1)", status["run_id"]))
    assert (after["state"], after["letters"]["accepted"], after["letters"]["refused"]) == ("done", 20, 2)
    rows = await db.fetch("SELECT address, source FROM portcullis.suppression ORDER BY 1")
    assert [tuple(row) for row in rows] == [("gone@late.example", "bounce"), ("nobody@postfix.example", "refused")]


def _is_a_report_of(server: MailServer) -> None:
    """What Postfix wrote is what our reader is made for: RFC 3464, to the letter's own sender."""
    [report] = server.letters("bounces")
    assert b"Content-Type: multipart/report; report-type=delivery-status" in report
    assert b"To: bounces+n" in report
    assert b"Status: 5.1.1" in report


async def _true(condition: object) -> bool:
    return bool(condition)
