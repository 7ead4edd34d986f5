"""`migrate`: installs for every type of id, names what the main app lacks and then creates nothing, and may be repeated."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.integration.cli_runner import Cli
from workers.cli.exit_codes import ExitCode
from workers.demo.main_app import IdType
from workers.migrations import newest_revision


@pytest.fixture
def cli(main_app_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """On a main app without Portcullis."""
    return Cli(monkeypatch, capsys, {"DATABASE_URL": main_app_database_url})


@pytest.fixture
async def app(main_app_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(main_app_database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def has_schema(app: asyncpg.Connection) -> bool:
    return bool(await app.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'portcullis')"))


@pytest.mark.parametrize("id_type", list(IdType), indirect=True)
async def test_it_installs_for_every_type_of_id_and_again_does_nothing(cli: Cli, app: asyncpg.Connection, id_type: IdType) -> None:
    installed = await cli("migrate", "--member-id-type", id_type, "--organization-id-type", id_type, "--json")
    assert (installed.code, installed.document) == (ExitCode.OK, {"revision": newest_revision()})
    again = await cli("migrate")
    assert again.code is ExitCode.OK
    assert newest_revision() in again.out
    assert (await cli("runs", "--json")).document == {"runs": []}


async def test_a_view_that_lacks_a_column_is_named_and_nothing_is_created(cli: Cli, app: asyncpg.Connection) -> None:
    await app.execute("ALTER VIEW directory.member RENAME COLUMN has_sso TO single_sign_on")
    refused = await cli("migrate", "--json")
    assert refused.code is ExitCode.NOT_SET_UP
    assert refused.document["error"]["name"] == "contract"
    assert refused.document["error"]["details"] == ["directory.member has no column has_sso"]
    assert "directory.member has no column has_sso" in refused.err
    assert not await has_schema(app)


async def test_everything_that_is_missing_is_named_at_once(cli: Cli, app: asyncpg.Connection) -> None:
    await app.execute("DROP SCHEMA directory CASCADE")
    refused = await cli("migrate", "--json")
    assert [detail.split()[1].partition("(")[0] for detail in refused.document["error"]["details"]] == [
        "directory.organization",
        "directory.member",
        "directory.session",
        "directory.end_sessions",
    ]
    assert not await has_schema(app)


async def test_the_wrong_type_of_id_is_named_and_nothing_is_created(cli: Cli, app: asyncpg.Connection) -> None:
    refused = await cli("migrate", "--member-id-type", "uuid")
    assert refused.code is ExitCode.NOT_SET_UP
    assert "directory.member.user_id is bigint" in refused.err
    assert "--member-id-type uuid" in refused.err
    assert not await has_schema(app)


async def test_the_type_of_ids_does_not_change_afterwards(cli: Cli) -> None:
    assert (await cli("migrate")).code is ExitCode.OK
    refused = await cli("migrate", "--organization-id-type", "text", "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.REFUSED, "migration_refused")
    assert "bigint" in refused.err


async def test_a_direct_url_is_preferred(cli: Cli, main_app_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/pooler")
    monkeypatch.setenv("DATABASE_URL_DIRECT", main_app_database_url)
    assert (await cli("migrate")).code is ExitCode.OK
    monkeypatch.setenv("DATABASE_URL_DIRECT", "postgresql://127.0.0.1:1/direct")
    refused = await cli("migrate")
    assert refused.code is ExitCode.UNREACHABLE
    assert "127.0.0.1:1/direct of DATABASE_URL_DIRECT" in refused.err


async def test_a_role_that_may_not_is_told_so(
    cli: Cli, app: asyncpg.Connection, main_app_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"powerless_{app.get_server_pid()}"
    await app.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-7f3a'")
    try:
        parts = urlsplit(main_app_database_url)
        host = parts.netloc.rpartition("@")[2]
        monkeypatch.setenv("DATABASE_URL", urlunsplit(parts._replace(netloc=f"{role}:canary-7f3a@{host}")))
        refused = await cli("migrate", "--json")
        assert (refused.code, refused.document["error"]["name"]) == (ExitCode.NOT_SET_UP, "not_allowed")
        assert "canary-7f3a" not in refused.out + refused.err
    finally:
        await app.execute(f"DROP ROLE {role}")


async def test_a_missing_variable_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    refused = await cli("migrate")
    assert refused.code is ExitCode.NOT_SET_UP
    assert "DATABASE_URL is missing" in refused.err
