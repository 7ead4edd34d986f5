"""Whatever goes wrong with PostgreSQL, in words: what, where, and what to do. No credentials are repeated."""

import re
from urllib.parse import parse_qs, urlsplit

import asyncpg

from jobs.client import BY_SQLSTATE, MalformedId, PortcullisError, UnknownOrganization, UnknownRun
from jobs.store.database import is_weather
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure


def connecting_failed(error: BaseException, url: str, variable: str) -> Failure:
    """Say why there is no connection; `variable` is where the URL came from."""
    where = f"The database {place(url)} of {variable}"
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            to_do = f"Correct user, password or database name in {variable}, or create them in PostgreSQL."
            return Failure(ExitCode.NOT_SET_UP, "database_refused", f"{where} refuses us: {reason(error)}", to_do)
        case ValueError():
            to_do = "Write it as postgresql://user:password@host:5432/database, special characters percent-encoded."
            return Failure(ExitCode.NOT_SET_UP, "configuration", f"{variable} can't be read as the URL of a database", to_do)
        case _:
            to_do = f"Start PostgreSQL, or correct {variable}; if it is just starting, try again."
            return Failure(ExitCode.UNREACHABLE, "database_unreachable", f"{where} can't be reached: {reason(error)}", to_do)


def asking_failed(error: BaseException, url: str) -> Failure:
    """Say why a question was not answered."""
    match error:
        case PortcullisError():
            return refused(error)
        case asyncpg.PostgresError() if error.sqlstate in BY_SQLSTATE:
            return refused(BY_SQLSTATE[error.sqlstate](error.message, error.hint))
        case (
            asyncpg.UndefinedTableError()
            | asyncpg.UndefinedFunctionError()
            | asyncpg.UndefinedColumnError()
            | asyncpg.InvalidSchemaNameError()
        ):
            return not_installed(f": {reason(error)}")
        case asyncpg.InsufficientPrivilegeError():
            to_do = "Grant it to the role of DATABASE_URL, or use another role."
            return Failure(ExitCode.NOT_SET_UP, "not_allowed", f"PostgreSQL does not allow it: {reason(error)}", to_do)
        case asyncpg.PostgresError() if not is_weather(error):
            to_do = "If the words come from the main app's own views or functions, mend those; `portcullis doctor` looks at them."
            return Failure(ExitCode.REFUSED, "database_error", f"PostgreSQL answered with an error: {reason(error)}", to_do)
        case _:
            what = f"The database {place(url)} did not answer: {reason(error)}"
            to_do = "Try again. Had anything been ordered, it was not done, or `portcullis runs` shows it."
            return Failure(ExitCode.UNREACHABLE, "database_unreachable", what, to_do)


def refused(error: PortcullisError) -> Failure:
    """Say what Portcullis itself refused."""
    match error:
        case UnknownOrganization() | UnknownRun():
            code = ExitCode.NOT_FOUND
        case MalformedId():
            code = ExitCode.USAGE
        case _:
            code = ExitCode.REFUSED
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return Failure(code, name, error.message, error.hint)


def not_installed(detail: str = "") -> Failure:
    """Say that the schema is missing, or older than this program."""
    what = f"Portcullis is not installed in this database, or not up to date{detail}"
    to_do = "Run `portcullis migrate`; if it is done already, `portcullis doctor` names what the schema `directory` lacks."
    return Failure(ExitCode.NOT_SET_UP, "not_installed", what, to_do)


def place(url: str) -> str:
    """Return host, port and database of a URL, without its credentials."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", ["the local socket"]))
    return f"{host}{parts.path}"


def reason(error: BaseException) -> str:
    """Return an error's words, or its name where it has none. PostgreSQL's DETAIL is left out: it quotes rows, and so addresses."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(getattr(error, "message", None) or error) or type(error).__name__
