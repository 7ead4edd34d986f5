"""The servers that a demo or a test run stands on: yours where the environment names them, else embedded ones.

`DATABASE_URL` and `REDIS_URL` each win on their own. What is embedded is real PostgreSQL and Valkey out of wheels, each in a private
directory that is removed afterwards, and neither outlives the process that asked for it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from workers.demo.embedded import SetupError, private_directory
from workers.demo.postgres_server import postgres
from workers.demo.valkey_server import valkey

__all__ = ["Servers", "SetupError", "postgres", "private_directory", "servers_from_environment_or_embedded", "valkey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where PostgreSQL and Redis answer. The URLs carry passwords and stay out of `repr`."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    embedded_database: bool
    embedded_redis: bool


@contextmanager
def servers_from_environment_or_embedded(*, durable: bool = True, environment: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """Yield both servers; what was started here is stopped here, by its own process id.

    `durable=False` turns fsync off in an embedded PostgreSQL: for tests.

    Raises:
        SetupError: An embedded server can't be had on this machine; says what to do.
    """
    given_database, given_redis = environment.get("DATABASE_URL"), environment.get("REDIS_URL")
    with ExitStack() as stack:
        yield Servers(
            database_url=given_database or stack.enter_context(_embedded_postgres(durable=durable)),
            redis_url=given_redis or stack.enter_context(_embedded_valkey()),
            embedded_database=not given_database,
            embedded_redis=not given_redis,
        )


@contextmanager
def _embedded_postgres(*, durable: bool) -> Iterator[str]:
    with private_directory() as directory, postgres(directory, durable=durable) as url:
        yield url


@contextmanager
def _embedded_valkey() -> Iterator[str]:
    with private_directory() as directory, valkey(directory) as url:
        yield url
