"""`portcullis rotate`, and a switch from a date on: the verbs on a real PostgreSQL."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from jobs.second_factor.sealing import Kind, Place, seal
from jobs.store.roles import Role
from tests.builders import a_member, an_organization
from tests.conftest import Databases
from tests.integration import main_app_people
from tests.integration.cli_runner import Cli
from tests.integration.second_factor_parts import begun, enrolled, ring
from tests.role_parts import a_database_with_roles, as_role
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


async def test_under_roles_the_rotator_seals_what_members_and_operators_have_and_nobody_else_can(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_database_with_roles(databases) as url:
        db = await asyncpg.connect(url)
        organization = await an_organization(db)
        await enrolled(db, (await a_member(db, organization.id, sessions=())).id, keys=ring("k1"))
        await begun(db, (await a_member(db, organization.id, sessions=())).id, keys=ring("k1"))
        operator = uuid4()
        sealed = seal(ring("k1"), Place(kind=Kind.OPERATOR, user_id="mara", item_id=operator), b"secret")
        await db.execute(
            "INSERT INTO portcullis.operator (name, operator_id, role, password_hash, key_id, secret, pending_key_id, pending_secret)"
            " VALUES ('mara', $1, 'viewer', 'x', $2, $3, $2, $3)",
            operator,
            sealed.key_id,
            sealed.secret,
        )
        for role in (Role.WORKER, Role.VERIFIER, Role.CONSOLE, Role.AUDITOR):
            cli = Cli(monkeypatch, capsys, {"DATABASE_URL": as_role(url, role), "PORTCULLIS_KEYS": ring_text("k2", "k1")})
            assert (await cli("rotate", "--json")).document["error"]["name"] == "not_allowed", role
        cli = Cli(monkeypatch, capsys, {"DATABASE_URL": as_role(url, Role.ROTATOR), "PORTCULLIS_KEYS": ring_text("k2", "k1")})
        told = await cli("rotate", "--json")
        assert (told.code, told.document) == (ExitCode.OK, {"key": "k2", "resealed": 5, "left": 0, "unreadable": 0})
        await db.close()


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
