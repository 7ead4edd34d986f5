"""Real servers for every test, and an empty or installed database of its own for each.

Each pytest process (under xdist each worker) has a PostgreSQL and a Valkey of its own, embedded, unless `DATABASE_URL` and `REDIS_URL`
name yours: then databases are created on that server and dropped again, and one numbered Redis database a process is flushed.
A database is a copy of a template that is migrated once, which takes some 20 ms.
"""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg
import pytest
import redis
import structlog
from psycopg import sql

from workers.demo.main_app import IdType, main_app_sql
from workers.demo.servers import Servers, servers_from_environment_or_embedded

UNDER_ROLES = os.environ.get("PORTCULLIS_TEST_ROLES") == "1"
"""Whether Portcullis is installed with roles, and what tests step through acts as them; some tests always do."""


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Take back how a verb of the command line has logs written: it ran in the test's own process, to an output that is closed now."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@dataclass(kw_only=True)
class Databases:
    """Makes and drops databases on one server; remembers the templates that it built."""

    admin: psycopg.Connection[tuple[Any, ...]]
    url: str
    embedded: bool
    count: int = 0
    templates: dict[tuple[object, ...], str] = field(default_factory=dict)

    def url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def template(self, *key: object, build: Callable[[str], object]) -> str:
        if key not in self.templates:
            name = self.create()
            build(self.url_of(name))
            self.templates[key] = name
        return self.templates[key]

    def create(self, template: str = "template1") -> str:
        self.count += 1
        name = f"portcullis_test_{os.getpid()}_{self.count}"
        # Copying files is the quickest way without fsync; the clause exists since PostgreSQL 15.
        strategy = sql.SQL("STRATEGY file_copy" if self.embedded else "")
        self.admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(sql.Identifier(name), sql.Identifier(template), strategy))
        return name

    def drop(self, name: str) -> None:
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with servers_from_environment_or_embedded(durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        databases = Databases(admin=admin, url=servers.database_url, embedded=servers.embedded_database)
        yield databases
        for name in databases.templates.values():
            databases.drop(name)


@pytest.fixture
def id_type(request: pytest.FixtureRequest) -> IdType:
    """The type of members' and organizations' ids; parametrize it (`indirect`) to have others than bigint."""
    return IdType(getattr(request, "param", IdType.BIGINT))


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A database with nothing in it."""
    yield from _copy_of(databases, "template1")


@pytest.fixture
def main_app_database_url(databases: Databases, id_type: IdType) -> Iterator[str]:
    """A database with the reference main app and its contract, without Portcullis."""
    template = databases.template("main app", id_type, build=lambda url: _load_main_app(url, id_type))
    yield from _copy_of(databases, template)


@pytest.fixture
def database_url(databases: Databases, id_type: IdType) -> Iterator[str]:
    """A database with the reference main app and Portcullis installed; nobody in it."""
    with an_installed_database(databases, id_type) as url:
        yield url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database_url`."""
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """A Redis database that is empty now and nobody else's; `FLUSHDB` is welcome, on an embedded one `FLUSHALL` too."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    given = urlsplit(servers.redis_url)
    url = servers.redis_url if servers.embedded_redis else urlunsplit(given._replace(path=f"/{int(worker) + 1}"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@contextmanager
def an_installed_database(databases: Databases, id_type: IdType = IdType.BIGINT) -> Iterator[str]:
    """A database as `database_url` is one, for fixtures that several tests share."""
    yield from _copy_of(databases, databases.template("installed", id_type, build=lambda url: _install(url, id_type)))


def _copy_of(databases: Databases, template: str) -> Iterator[str]:
    name = databases.create(template)
    try:
        yield databases.url_of(name)
    finally:
        databases.drop(name)


def _load_main_app(url: str, id_type: IdType) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(main_app_sql(member_id=id_type, organization_id=id_type))


def _install(url: str, id_type: IdType) -> None:
    from workers.migrations import migrate  # noqa: PLC0415 - tests of what lies below must run without it

    _load_main_app(url, id_type)
    migrate(url, member_id_type=id_type, organization_id_type=id_type, with_roles=UNDER_ROLES)
    if UNDER_ROLES:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER FUNCTION directory.end_sessions SECURITY DEFINER")
