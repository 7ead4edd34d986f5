"""Every SQL file against PostgreSQL: it parses, its parameters are what its header says, and the hot ones scan no table."""

import re

import asyncpg
import pytest

from jobs.store.statements import FOLDER, statement

NAMES = sorted(path.name.removesuffix(".sql") for path in FOLDER.iterdir() if path.name.endswith(".sql"))
PARAMETER = re.compile(r"^-- \$(\d+)\s{2,}(\S+(?: \S+)*?)(?:\s{2,}(.+))?$", re.MULTILINE)
DOMAIN = re.compile(r"portcullis\.(member|organization)_id")
"""asyncpg sees a domain as the type under it; the test database is installed with bigint."""
SPELLINGS = {
    "int8": "bigint",
    "int4": "integer",
    "int2": "smallint",
    "bool": "boolean",
    "float8": "double precision",
    "timestamptz": "timestamp with time zone",
}


def described(name: str) -> list[str]:
    found = PARAMETER.findall(statement(name))
    assert [int(number) for number, _, _ in found] == list(range(1, len(found) + 1)), "parameters are described in order"
    assert all(meaning for _, _, meaning in found), "each parameter says what it means"
    return [DOMAIN.sub("bigint", type_) for _, type_, _ in found]


def as_written(type_: asyncpg.Type) -> str:
    name, array = type_.name.removesuffix("[]"), "[]" if type_.name.endswith("[]") else ""
    return DOMAIN.sub("bigint", f"{type_.schema}.{name}" if type_.schema == "portcullis" else SPELLINGS.get(name, name)) + array


@pytest.mark.parametrize("name", NAMES)
async def test_the_header_says_what_postgres_says(db: asyncpg.Connection, name: str) -> None:
    prepared = await db.prepare(statement(name))
    assert [as_written(type_) for type_ in prepared.get_parameters()] == described(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_begins_with_what_the_statement_does(name: str) -> None:
    first = statement(name).splitlines()[0]
    assert re.fullmatch(r"-- [A-Z].{20,}", first)
