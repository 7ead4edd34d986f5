"""`portcullis rotate`, and a switch from a date on: the verbs on a real PostgreSQL."""

import base64
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.builders import a_member, an_organization
from tests.integration import main_app_people
from tests.integration.cli_runner import Cli
from tests.integration.second_factor_parts import enrolled, ring
from workers.cli.exit_codes import ExitCode


def ring_text(*ids: str) -> str:
    by_id = {key.id: key.secret for key in ring(*ids).keys}
    return ",".join(f"{key_id}:{base64.b64encode(by_id[key_id]).decode()}" for key_id in ids)


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "PORTCULLIS_KEYS": ring_text("k2", "k1")})


async def test_every_secret_is_sealed_under_the_first_key_and_twice_is_nothing_new(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    await enrolled(db, (await a_member(db, organization.id, sessions=())).id, keys=ring("k1"))
    first = await cli("rotate", "--json")
    assert (first.code, first.document) == (ExitCode.OK, {"key": "k2", "resealed": 2, "left": 0, "unreadable": 0})
    again = await cli("rotate")
    assert (again.code, "sealed under k2, 0 of them" in again.out) == (ExitCode.OK, True)


async def test_a_key_that_was_taken_out_too_early_is_an_exit_code_and_a_way_out(
    cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await an_organization(db)
    await enrolled(db, (await a_member(db, organization.id, sessions=())).id, keys=ring("k1"))
    monkeypatch.setenv("PORTCULLIS_KEYS", ring_text("k2"))
    refused = await cli("rotate")
    assert refused.code is ExitCode.REFUSED
    assert "no key of the ring opens" in refused.out
    told = await cli("rotate", "--json")
    assert (told.document["left"], told.document["unreadable"]) == (2, 2)
    assert "secret_unreadable" in told.err


async def test_a_requirement_from_a_date_on_waits_for_it(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await main_app_people.an_organization(db)
    admin = await main_app_people.an_admin(db, organization)
    date = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    opened = await cli(
        "enforce", organization, "--as", admin, "--reason", "audit", "--effective-at", date.isoformat(), "--grace-days", "14", "--json"
    )
    assert (opened.code, datetime.fromisoformat(opened.document["effective_at"])) == (ExitCode.OK, date)
    assert await db.fetchval("SELECT grace FROM portcullis.policy") == timedelta(days=14)
