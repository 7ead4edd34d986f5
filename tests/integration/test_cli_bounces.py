"""`portcullis bounces read`: a Maildir and standard input, real messages, kill -9, and ids of every type."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from jobs.keys import Purpose
from jobs.letters.message_ids import MessageIds
from jobs.letters.return_paths import ReturnPaths
from jobs.store.database import close_pool, open_pool
from tests.bounce_parts import a_report
from tests.integration.cli_runner import Cli
from tests.integration.second_factor_parts import ring
from tests.integration.test_cli_rotating import ring_text
from tests.metrics_parts import an_exporter
from workers.cli.exit_codes import ExitCode
from workers.demo.main_app import IdType

MAILBOX = "bounces@mail.example.com"
GIANT = 50_000_000


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "PORTCULLIS_KEYS": ring_text("k2", "k1"), "PORTCULLIS_BOUNCE_ADDRESS": MAILBOX}


@pytest.fixture
def cli(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maildir:
    folder: Path

    def deliver(self, name: str, octets: bytes) -> None:
        (self.folder / "new" / name).write_bytes(octets)

    @property
    def new(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "new").iterdir())

    @property
    def cur(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "cur").iterdir())


@pytest.fixture
def maildir(tmp_path: Path) -> Maildir:
    (tmp_path / "new").mkdir()
    return Maildir(folder=tmp_path)


def sender_of(member: object, *, run: int = 1, key_id: str = "k1") -> str:
    key = ring("k1", "k2").find(key_id, Purpose.MESSAGE_ID)
    assert key is not None
    reference = MessageIds(key=key.secret, key_id=key.id, domain="x").reference(run, str(member), "notice")
    sender = ReturnPaths.read(MAILBOX).sender(reference, run, str(member), "notice")
    assert sender is not None
    return sender


async def sent_to(db: asyncpg.Connection, *members: Any, organization: Any = 1, state: str = "accepted") -> None:
    """Put letters into the ledger as a mailer leaves them."""
    await db.execute(
        "INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at) VALUES ($1, 1, $2, 'done', now())",
        *(organization, members[0]),
    )
    batch = await db.fetchval(
        f"INSERT INTO portcullis.batch (run_id, stage, state, {state}) VALUES (1, 'notice', 'done', $1) RETURNING batch_id", len(members)
    )
    await db.execute(
        "INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, recipient, first_tried_at)"
        " SELECT 1, 'notice', m, $1, 'unprotected', $2, 'Member.' || m || '@example.com', now() FROM unnest($3::portcullis.member_id[]) m",
        *(batch, state, list(members)),
    )


async def states(db: asyncpg.Connection) -> list[str]:
    return [row["state"] for row in await db.fetch("SELECT state FROM portcullis.delivery ORDER BY member_id")]


async def suppressed(db: asyncpg.Connection) -> list[str]:
    return [row["address"] for row in await db.fetch("SELECT address FROM portcullis.suppression ORDER BY 1")]


async def counted(db: asyncpg.Connection) -> dict[str, int]:
    """Reports in the metrics: of each result, and of what was ignored each reason."""
    rows = await db.fetch("SELECT labels, value FROM portcullis.metric WHERE name = 'portcullis_bounce_reports_total'")
    labels = [(json.loads(row["labels"]), int(row["value"])) for row in rows]
    return {(one["result"] if one["result"] == "bounced" else one["why"]): number for one, number in labels}


IDS = [
    (IdType.BIGINT, 42, 7),
    (IdType.UUID, UUID(int=2**127 + 5), UUID(int=9)),
    (IdType.TEXT, "usr_1", "org"),
    (IdType.TEXT, "usr_01H8XGJWBWBAQ4ZK0T5Q9V3J2N", "org"),
    (IdType.TEXT, "Ünïcode and spaces, and longer than any sender has room for " * 3, "org"),
]


@pytest.mark.parametrize(
    ("id_type", "member", "organization"), IDS, indirect=["id_type"], ids=["bigint", "uuid", "short text", "long text", "odd text"]
)
async def test_a_report_finds_its_letter_whatever_the_type_of_ids(
    cli: Cli, db: asyncpg.Connection, maildir: Maildir, member: object, organization: object
) -> None:
    await sent_to(db, member, organization=organization)
    maildir.deliver("1", a_report(came_to=sender_of(member).upper()))
    told = await cli("bounces", "read", "--maildir", maildir.folder, "--json")
    assert told.code is ExitCode.OK
    assert told.document["letters"][0] | {"why": None} == {
        "result": "bounced",
        "why": None,
        "number": 1,
        "slot": "notice",
        "member": str(member),
        "status": "5.1.1",
        "is_suppressed": True,
    }
    assert await states(db) == ["refused"]
    assert await db.fetchval("SELECT accepted = 0 AND refused = 1 FROM portcullis.batch")
    assert len(await suppressed(db)) == 1


@pytest.mark.parametrize("id_type", [IdType.TEXT], indirect=True)
async def test_a_long_id_is_found_by_an_index(db: asyncpg.Connection) -> None:
    await sent_to(db, *[f"somebody with a long name, number {number}" for number in range(3000)], organization="org")
    await db.execute("ANALYZE portcullis.delivery")
    from jobs.store.bounces import FIND_BY_DIGEST  # noqa: PLC0415 -- read when it is explained

    plan = "\n".join(row[0] for row in await db.fetch("EXPLAIN " + FIND_BY_DIGEST, 1, "notice", "0" * 16))
    assert "delivery_by_digest" in plan
    assert "Seq Scan" not in plan


async def test_a_maildir_full_of_everything(cli: Cli, db: asyncpg.Connection, maildir: Maildir) -> None:
    await sent_to(db, 1, 2, 3)
    maildir.deliver("01.bounced", a_report(came_to=sender_of(1)))
    maildir.deliver("02.again", a_report(came_to=sender_of(1)))
    maildir.deliver("03.late", a_report(came_to=sender_of(2), action="delayed", status="4.4.1"))
    maildir.deliver("04.forged", a_report(came_to=sender_of(2)[:-30].replace("-i2", "-i3") + sender_of(2)[-30:]))
    maildir.deliver("05.giant", a_report(came_to=sender_of(2), filler=GIANT))
    maildir.deliver("06.garbage", bytes(range(256)) * 100)
    maildir.deliver("07.away", b"To: " + sender_of(3).encode() + b"\nAuto-Submitted: auto-replied\nSubject: Away\n\nBack on Monday")
    maildir.deliver("08.older key", a_report(came_to=sender_of(3, key_id="k2")))
    told = await cli("bounces", "read", "--maildir", maildir.folder)
    assert told.code is ExitCode.OK
    assert "8 messages: 2 bounced, 1 noted, 0 too early, 5 ignored." in told.out
    assert "1 auto_reply, 1 forged, 1 known, 1 no_report, 1 too_large" in told.out
    assert "@" not in told.out + told.err
    assert "05.giant: ignored: too_large" in told.err
    assert (maildir.new, len(maildir.cur)) == ([], 8)
    assert await states(db) == ["refused", "accepted", "refused"]
    again = await cli("bounces", "read", "--maildir", maildir.folder)
    assert "0 messages" in again.out
    assert await counted(db) == {"bounced": 2, "delayed": 1, "auto_reply": 1, "forged": 1, "known": 1, "no_report": 1, "too_large": 1}
    assert await db.fetchval("SELECT count(*) FROM portcullis.process") == 0


async def test_forged_reports_are_seen_in_the_metrics(cli: Cli, maildir: Maildir, database_url: str, redis_url: str) -> None:
    forged = 'portcullis_bounce_reports_total{result="ignored",why="forged"}'
    pool = await open_pool(database_url, size=2)
    async with an_exporter(pool, redis_url) as exporter:
        before = (await exporter.scrape())[forged]
        for name in ("1", "2"):
            maildir.deliver(name, a_report(came_to=sender_of(2)[:-30].replace("-i2", "-i3") + sender_of(2)[-30:]))
        await cli("bounces", "read", "--maildir", maildir.folder)
        assert (before, (await exporter.scrape())[forged]) == (0, 2)
    await close_pool(pool)


async def test_counts_that_can_not_be_written_cost_no_report(cli: Cli, db: asyncpg.Connection, maildir: Maildir) -> None:
    await sent_to(db, 1)
    await db.execute("DROP TABLE portcullis.process")
    maildir.deliver("1", a_report(came_to=sender_of(1)))
    told = await cli("bounces", "read", "--maildir", maildir.folder)
    assert (told.code, maildir.new, await states(db)) == (ExitCode.OK, [], ["refused"])
    assert "not counted for metrics" in told.err


async def test_what_is_on_its_way_stays_in_new(cli: Cli, db: asyncpg.Connection, maildir: Maildir) -> None:
    await sent_to(db, 1, state="sending")
    maildir.deliver("1", a_report(came_to=sender_of(1)))
    assert "1 too early" in (await cli("bounces", "read", "--maildir", maildir.folder)).out
    assert maildir.new == ["1"]
    await db.execute("UPDATE portcullis.delivery SET state = 'accepted'; UPDATE portcullis.batch SET sending = 0, accepted = 1")
    assert "1 bounced" in (await cli("bounces", "read", "--maildir", maildir.folder)).out
    assert maildir.new == []


async def test_killed_between_the_commit_and_the_move_nothing_is_lost_or_done_twice(
    cli: Cli, db: asyncpg.Connection, maildir: Maildir, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    await sent_to(db, 1, 2)
    for member in (1, 2):
        maildir.deliver(str(member), a_report(came_to=sender_of(member)))
    failpoints = tmp_path_factory.mktemp("failpoints")
    (failpoints / "before_file_away").touch()
    command = [sys.executable, "-m", "workers", "bounces", "read", "--maildir", str(maildir.folder)]
    killed = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | environment | {"PORTCULLIS_FAILPOINTS": str(failpoints)}, check=False, capture_output=True
    )
    assert killed.returncode == -9
    assert (maildir.new, await states(db)) == (["1", "2"], ["refused", "accepted"])
    told = (await cli("bounces", "read", "--maildir", maildir.folder, "--json")).document
    assert (told["bounced"], told["reasons"]) == (1, {"known": 1})
    assert await states(db) == ["refused", "refused"]
    assert await db.fetchval("SELECT accepted = 0 AND refused = 2 FROM portcullis.batch")


async def piped(environment: dict[str, str], octets: bytes, *more: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "workers", "bounces", "read", "-", *more]
    return await asyncio.to_thread(
        subprocess.run, command, input=octets, env=os.environ | environment, check=False, capture_output=True, timeout=60
    )


async def test_a_mail_server_pipes_one_message(environment: dict[str, str], db: asyncpg.Connection) -> None:
    await sent_to(db, 1, 2)
    early = await piped(environment, a_report(), "--recipient", sender_of(1))
    assert (early.returncode, await states(db)) == (0, ["refused", "accepted"])
    assert b"1 bounced" in early.stdout
    giant = await piped(environment, a_report(came_to=sender_of(2), filler=GIANT))
    assert (giant.returncode, b"too_large" in giant.stdout) == (0, True)
    await db.execute("UPDATE portcullis.delivery SET state = 'sending' WHERE member_id = 2")
    assert (await piped(environment, a_report(came_to=sender_of(2)))).returncode == 75


async def test_whatever_is_amiss_here_the_mail_server_comes_again(environment: dict[str, str]) -> None:
    report = a_report(came_to=sender_of(1))
    away = await piped(environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, report)
    assert (away.returncode, b"can't be reached" in away.stderr) == (75, True)
    mistyped = await piped(environment | {"PORTCULLIS_KEYS": "nonsense"}, report)
    assert (mistyped.returncode, b"PORTCULLIS_KEYS" in mistyped.stderr) == (75, True)


async def test_one_report_that_postgres_will_not_hear_of_does_not_hold_up_the_others(
    cli: Cli, db: asyncpg.Connection, maildir: Maildir
) -> None:
    await sent_to(db, 1, 2)
    await db.execute("ALTER TABLE portcullis.delivery ADD CONSTRAINT odd CHECK (member_id <> 1 OR state = 'accepted')")
    for member in (1, 2):
        maildir.deliver(str(member), a_report(came_to=sender_of(member)))
    told = await cli("bounces", "read", "--maildir", maildir.folder)
    assert told.code is ExitCode.REFUSED
    assert "1: left where it is: CheckViolationError" in told.err
    assert (maildir.new, await states(db)) == (["1"], ["accepted", "refused"])


@pytest.mark.parametrize("tokens", [(), ("-", "--maildir", "/tmp"), ("/tmp",)])
async def test_it_takes_one_of_the_two(cli: Cli, tokens: tuple[str, ...]) -> None:
    assert (await cli("bounces", "read", *tokens)).code is ExitCode.USAGE


async def test_a_folder_that_is_no_maildir_is_named(cli: Cli, tmp_path: Path) -> None:
    told = await cli("bounces", "read", "--maildir", tmp_path / "nowhere", "--json")
    assert (told.code, told.document["error"]["name"]) == (ExitCode.REFUSED, "no_maildir")


async def test_the_list_in_the_hands_of_people(cli: Cli, db: asyncpg.Connection) -> None:
    assert (await cli("suppressions", "list")).out == "No address is suppressed.\n"
    added = await cli("suppressions", "add", "Ada@Example.com", "--reason", "a stranger's")
    assert (added.code, added.out) == (ExitCode.OK, "ada@example.com is not written to any more.\n")
    [one] = (await cli("suppressions", "list", "ADA@example.com", "--json")).document["suppressions"]
    assert (one["address"], one["source"], one["reason"], one["expires_at"]) == ("ada@example.com", "operator", "a stranger's", None)
    assert "a stranger's" in (await cli("suppressions", "list", "--source", "operator")).out
    removed = await cli("suppressions", "remove", "ada@example.com", "--reason", "hers after all", "--json")
    assert removed.document == {"removed": "ada@example.com", "source": "operator"}
    missing = await cli("suppressions", "remove", "ada@example.com", "--reason", "again", "--json")
    assert (missing.code, missing.document["error"]["name"]) == (ExitCode.NOT_FOUND, "not_suppressed")
    for malformed in (("add", "nobody", "--reason", "r"), ("remove", "a@b@c", "--reason", "r"), ("list", "x")):
        assert (await cli("suppressions", *malformed)).code is ExitCode.USAGE
    assert [row["verb"] for row in await db.fetch("SELECT verb FROM portcullis.action ORDER BY 1")] == ["suppress", "unsuppress"]
