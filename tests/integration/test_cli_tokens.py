"""`portcullis tokens`: made once, shown once, listed without themselves, revoked; each with who and why."""

import asyncpg
import pytest

from jobs.domain.permissions import Role
from jobs.store import tokens
from jobs.store.tokens import Bearer
from tests.integration.cli_runner import Cli
from workers.cli.exit_codes import ExitCode


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


async def test_a_token_is_shown_once_and_works(cli: Cli, db: asyncpg.Connection) -> None:
    made = await cli("tokens", "add", "bot", "--role", "operator", "--days", "90", "--reason", "deployments")
    token = made.out.strip()
    assert await tokens.find(db, token) == Bearer(name="bot", role=Role.OPERATOR)
    assert "not shown again" in made.err
    listed = await cli("tokens", "list", "--json")
    assert token not in listed.out
    [one] = listed.document["tokens"]
    assert (one["name"], one["role"], one["is_good"]) == ("bot", "operator", True)
    assert (await cli("tokens")).out == (await cli("tokens", "list")).out
    assert await db.fetchval("SELECT reason FROM portcullis.action WHERE verb = 'add_token'") == "deployments"


async def test_a_name_is_one_tokens_at_a_time(cli: Cli, db: asyncpg.Connection) -> None:
    first = await cli("tokens", "add", "bot", "--role", "viewer", "--reason", "x", "--json")
    again = await cli("tokens", "add", "bot", "--role", "viewer", "--reason", "x")
    assert again.code is ExitCode.REFUSED
    assert "There is a token bot already" in again.err
    assert (await cli("tokens", "revoke", "bot", "--reason", "it was in a log")).code is ExitCode.OK
    assert await tokens.find(db, first.document["token"]) is None
    assert (await cli("tokens", "add", "bot", "--role", "viewer", "--reason", "x")).code is ExitCode.OK
    assert (await cli("tokens", "revoke", "nobody", "--reason", "x")).code is ExitCode.NOT_FOUND


@pytest.mark.parametrize("name", ["", "-x", "a b", "a" * 65, "ä", "a\n"])
async def test_a_name_that_is_none_is_refused(cli: Cli, db: asyncpg.Connection, name: str) -> None:
    told = await cli("tokens", "add", "--role", "viewer", "--reason", "x", "--", name)
    assert told.code is not ExitCode.OK
    assert await db.fetchval("SELECT count(*) FROM portcullis.api_token") == 0


async def test_a_role_that_is_none_is_wrong_usage(cli: Cli) -> None:
    assert (await cli("tokens", "add", "bot", "--role", "owner", "--reason", "x")).code is ExitCode.USAGE
