"""Whatever PostgreSQL's connection throws becomes words, an exit code, and no credentials."""

import asyncpg
import pytest

from jobs.client import BY_SQLSTATE
from workers.cli.exit_codes import ExitCode
from workers.cli.explaining import asking_failed, connecting_failed, place

URL = "postgresql://app:canary-7f3a@db.example.com:6432/app?sslmode=require"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(111, "Connection refused"), ExitCode.UNREACHABLE),
        (TimeoutError(), ExitCode.UNREACHABLE),
        (asyncpg.CannotConnectNowError("starting up"), ExitCode.UNREACHABLE),
        (asyncpg.TooManyConnectionsError("too many"), ExitCode.UNREACHABLE),
        (asyncpg.InvalidPasswordError("password authentication failed"), ExitCode.NOT_SET_UP),
        (asyncpg.InvalidCatalogNameError('database "app" does not exist'), ExitCode.NOT_SET_UP),
        (ValueError("invalid DSN canary-7f3a"), ExitCode.NOT_SET_UP),
    ],
)
def test_no_connection(error: Exception, code: ExitCode) -> None:
    failure = connecting_failed(error, URL, "DATABASE_URL")
    assert failure.code is code
    assert "DATABASE_URL" in failure.what
    assert failure.to_do
    assert "canary-7f3a" not in str(failure.as_json())


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (asyncpg.ConnectionDoesNotExistError("gone"), ExitCode.UNREACHABLE, "database_unreachable"),
        (asyncpg.LockNotAvailableError("lock timeout"), ExitCode.UNREACHABLE, "database_unreachable"),
        (asyncpg.QueryCanceledError("statement timeout"), ExitCode.UNREACHABLE, "database_unreachable"),
        (ConnectionResetError(), ExitCode.UNREACHABLE, "database_unreachable"),
        (asyncpg.UndefinedTableError('relation "portcullis.run" does not exist'), ExitCode.NOT_SET_UP, "not_installed"),
        (asyncpg.InvalidSchemaNameError('schema "portcullis" does not exist'), ExitCode.NOT_SET_UP, "not_installed"),
        (asyncpg.InsufficientPrivilegeError("permission denied"), ExitCode.NOT_SET_UP, "not_allowed"),
        (asyncpg.DivisionByZeroError("division by zero"), ExitCode.REFUSED, "database_error"),
        (BY_SQLSTATE["PC001"]("There is no organization 7", "Look."), ExitCode.NOT_FOUND, "unknown_organization"),
        (BY_SQLSTATE["PC002"]("User 7 is not an active member", "Look."), ExitCode.REFUSED, "not_a_member"),
        (BY_SQLSTATE["PC005"]("There is no run 7", "Look."), ExitCode.NOT_FOUND, "unknown_run"),
        (BY_SQLSTATE["PC007"]("Run 7 is already done", "Look."), ExitCode.REFUSED, "run_is_over"),
    ],
)
def test_no_answer(error: Exception, code: ExitCode, name: str) -> None:
    failure = asking_failed(error, URL)
    assert (failure.code, failure.name) == (code, name)
    assert failure.to_do
    assert "canary-7f3a" not in str(failure.as_json())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, "db.example.com:6432/app"),
        ("postgresql:///app?host=/run/postgresql", "/run/postgresql/app"),
        ("postgresql:///app", "the local socket/app"),
        ("postgresql://app:secret@db1:5432,db2:5433/app", "db1:5432,db2:5433/app"),
    ],
)
def test_a_place_has_no_credentials(url: str, expected: str) -> None:
    assert place(url) == expected
