"""Who may sign in to the console: invited once, listed without secrets, reset, removed; each recorded with its reason."""

import asyncpg
import pytest

from tests.integration.cli_runner import Cli
from workers.cli.exit_codes import ExitCode


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


async def test_somebody_is_invited_listed_reset_and_removed(cli: Cli, db: asyncpg.Connection) -> None:
    added = await cli("operators", "add", "Mara", "--role", "operator", "--reason", "on call", "--json")
    assert added.code is ExitCode.OK
    assert (added.document["name"], added.document["address"]) == ("mara", "http://127.0.0.1:8700/welcome")
    code = added.document["code"]
    assert len(code.replace("-", "")) == 24
    kept = await db.fetchrow("SELECT * FROM portcullis.operator")
    assert code.encode() not in bytes(kept["invitation"])
    assert code not in str((await cli("operators", "list", "--json")).document)

    again = await cli("operators", "add", "mara", "--role", "viewer", "--reason", "x")
    assert again.code is ExitCode.REFUSED
    reset = await cli("operators", "reset", "mara", "--reason", "lost her phone")
    assert reset.code is ExitCode.OK
    assert code not in reset.out
    assert "invited" in (await cli("operators", "list")).out
    assert (await cli("operators", "remove", "mara", "--reason", "has left")).code is ExitCode.OK
    assert "Nobody yet" in (await cli("operators", "list")).out
    rows = await db.fetch("SELECT verb, via, subject, reason FROM portcullis.action ORDER BY action_id")
    assert [tuple(row) for row in rows] == [
        ("add_operator", "cli", "mara", "on call"),
        ("reset_operator", "cli", "mara", "lost her phone"),
        ("remove_operator", "cli", "mara", "has left"),
    ]


async def test_nobody_is_invited_whose_invitation_could_not_be_handed_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], db: asyncpg.Connection
) -> None:
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "PORTCULLIS_CONSOLE_ADDRESS": "0.0.0.0:8700"})
    assert (await cli("operators", "add", "mara", "--role", "viewer", "--reason", "x")).code is ExitCode.NOT_SET_UP
    assert await db.fetchval("SELECT count(*) FROM portcullis.operator") == 0


async def test_an_order_of_a_user_without_a_name_is_recorded_with_the_number(
    cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    added = await cli("operators", "add", "mara", "--role", "viewer", "--reason", "x")
    assert added.code is ExitCode.OK
    assert await db.fetchval("SELECT actor FROM portcullis.action") == "uid 54321"


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        (["add", "mara", "--role", "king", "--reason", "x"], ExitCode.USAGE),
        (["add", "-mara", "--role", "viewer", "--reason", "x"], ExitCode.USAGE),
        (["add", "ma ra", "--role", "viewer", "--reason", "x"], ExitCode.USAGE),
        (["add", "mara", "--role", "viewer", "--reason", " "], ExitCode.USAGE),
        (["add", "mara", "--role", "viewer"], ExitCode.USAGE),
        (["reset", "mara", "--reason", "x"], ExitCode.NOT_FOUND),
        (["remove", "mara", "--reason", "x"], ExitCode.NOT_FOUND),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_what_can_not_be_is_refused_and_nobody_is_invited(
    cli: Cli, db: asyncpg.Connection, tokens: list[str], code: ExitCode
) -> None:
    assert (await cli("operators", *tokens)).code is code
    assert await db.fetchval("SELECT count(*) FROM portcullis.operator") == 0
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0
