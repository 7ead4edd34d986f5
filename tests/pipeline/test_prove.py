"""A certificate: what it says, when there is none, and that nobody can change one."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.audit.certificates import prove
from jobs.keys import KeyRing
from jobs.store import audit
from jobs.store.database import read_json
from tests.builders import Organization, a_member, a_session, an_organization
from tests.integration.cli_runner import Cli
from tests.pipeline.test_audit_verify import sealed
from tests.pipeline.world import RING, World
from workers.cli.exit_codes import ExitCode

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_KEYS = "k2:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "PORTCULLIS_KEYS": KEYS})


@pytest.fixture
async def organization(world: World) -> Organization:
    organization = await an_organization(world.db, members=3)
    await a_member(world.db, organization.id, sso=True, password=False, sessions=("sso",))
    return organization


async def done(world: World, organization: Organization) -> int:
    run = await world.require(organization)
    await world.run_to_end(run)
    await sealed(world)
    return run


def test_the_ring_of_the_command_line_is_the_one_of_the_world() -> None:
    assert KeyRing.parse(KEYS).keys[0].secret == bytes(range(32))


async def test_a_run_that_is_done_is_certified_with_everything_that_was_asked(world: World, cli: Cli, organization: Organization) -> None:
    run = await done(world, organization)
    told = await cli("prove", run, "--json")
    assert told.code is ExitCode.OK, told.err
    stated = told.document["certificate"]
    assert stated["done"] is True
    assert (stated["run_id"], stated["epoch"], stated["members"], stated["sessions_ended"]) == (run, 1, 5, 3)
    assert stated["verdicts"] == {"unprotected": 3, "protected": 1, "sso": 1, "exempt": 0, "inactive": 0}
    assert (stated["letters"]["accepted"], stated["unprotected_live_sessions"], stated["joined_since"]) == (5, 0, 0)
    assert stated["audit"]["entries"] == 6
    assert stated["audit"]["checkpoint"]["number"] == 1
    assert stated["reason"] == "audit"
    assert str(organization.admin.email) not in told.out


async def test_a_certificate_is_verified_with_the_public_key_alone(
    world: World, cli: Cli, organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await done(world, organization)
    path = tmp_path / "run.json"
    assert (await cli("prove", run, "--out", path)).code is ExitCode.OK
    (public,) = (await cli("audit", "key")).out.split()
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("PORTCULLIS_KEYS")
    checked = await cli("prove", "--check", path, "--public-key", public)
    assert checked.code is ExitCode.OK, checked.err
    assert "done. Nobody unprotected has a live session." in checked.out


@pytest.mark.parametrize("change", [{"sessions_ended": 4}, {"done": False}, {"unprotected_live_sessions": 1}], ids=str)
async def test_a_certificate_that_was_changed_is_not_believed(
    world: World, cli: Cli, organization: Organization, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "run.json"
    await cli("prove", await done(world, organization), "--out", path)
    document = json.loads(path.read_text())
    document["certificate"].update(change)
    path.write_text(json.dumps(document))
    checked = await cli("prove", "--check", path, "--json")
    assert (checked.code, checked.document["error"]["name"]) == (ExitCode.AUDIT_EDITED, "edited")


async def test_a_certificate_of_somebody_else_is_signed_with_an_unknown_key(
    world: World, cli: Cli, organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    await cli("prove", await done(world, organization), "--out", path)
    monkeypatch.setenv("PORTCULLIS_KEYS", OTHER_KEYS)
    assert (await cli("prove", "--check", path)).code is ExitCode.AUDIT_UNKNOWN_KEY


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "\0"),
        '{"certificate": {}, "key": "k1", "public_key": "", "signature": "!"}',
        '{"certificate": {"format": "portcullis certificate 1"}, "key": ["k1"], "public_key": "", "signature": ""}',
    ],
)
async def test_whatever_is_no_certificate_is_said_to_be_none(cli: Cli, tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    checked = await cli("prove", "--check", path)
    assert checked.code in {ExitCode.AUDIT_EDITED, ExitCode.USAGE}
    assert "Traceback" not in checked.err


async def test_a_run_that_is_still_running_is_said_not_to_be_done(world: World, cli: Cli, organization: Organization) -> None:
    run = await world.require(organization)
    told = await cli("prove", run, "--json")
    assert (told.code, told.document["error"]["name"]) == (ExitCode.REFUSED, "still_running")
    assert "not done" in told.err
    await world.run_to_end(run)


async def test_a_cancelled_run_is_certified_as_what_it_is(world: World, cli: Cli, organization: Organization) -> None:
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.cancel(run)
    await world.run_to_end(run)
    await sealed(world)
    told = await cli("prove", run, "--json")
    assert told.code is ExitCode.REFUSED
    stated = told.document["certificate"]
    assert (stated["done"], stated["state"], stated["stopped_because"], stated["sessions_ended"]) == (False, "cancelled", "wrong day", 3)
    assert "NOT done" in (await cli("prove", run)).out


async def test_a_requirement_that_was_lifted_no_longer_stands(world: World, cli: Cli, organization: Organization) -> None:
    run = await done(world, organization)
    await world.lift(organization)
    await world.run_to_end(run)
    await sealed(world)
    told = await cli("prove", run, "--json")
    assert told.code is ExitCode.REFUSED
    assert (told.document["certificate"]["done"], told.document["certificate"]["requirement_stands"]) == (False, False)


async def test_what_is_not_so_any_more_is_not_certified(world: World, cli: Cli, organization: Organization) -> None:
    run = await done(world, organization)
    session = await a_session(world.db, organization.members[0].id)
    told = await cli("prove", run, "--json")
    assert (told.code, told.document["error"]["name"]) == (ExitCode.REFUSED, "unprotected_sessions")
    await world.db.execute("DELETE FROM app.sessions WHERE session_id = $1", session)


class LiftedMeanwhile(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Somebody lifts the requirement, and signs in, between two of the questions that are asked."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        if query == audit.PROVE and self.meanwhile:
            await self.meanwhile()
        return await super().fetchrow(query, *arguments, **options)


async def test_everything_in_a_certificate_was_so_at_one_moment(world: World, organization: Organization, database_url: str) -> None:
    run = await done(world, organization)
    asking = await asyncpg.connect(database_url, connection_class=LiftedMeanwhile)
    await read_json(asking)

    async def meanwhile() -> None:
        await world.lift(organization)
        await a_session(world.db, organization.members[0].id)

    asking.meanwhile = meanwhile
    certificate = await prove(asking, RING, run)
    await asking.close()
    assert await world.db.fetchval("SELECT required FROM portcullis.policy") is False
    stated = certificate.stated
    assert (stated["done"], stated["requirement_stands"], stated["unprotected_live_sessions"]) == (True, True, 0)
    await world.run_to_end(run)


async def test_a_run_from_before_the_record_is_not_certified(world: World, cli: Cli, organization: Organization) -> None:
    await world.db.execute("ALTER TABLE portcullis.run DISABLE TRIGGER USER")
    run = await world.db.fetchval(
        "INSERT INTO portcullis.run (organization_id, epoch, requested_by, state, finished_at) VALUES ($1, 1, $2, 'done', now())"
        " RETURNING run_id",
        organization.id,
        organization.admin.id,
    )
    told = await cli("prove", run, "--json")
    assert (told.code, told.document["error"]["name"]) == (ExitCode.REFUSED, "no_record")
    await world.db.execute("DELETE FROM portcullis.run")


async def test_a_record_that_was_touched_is_not_certified(world: World, cli: Cli, organization: Organization) -> None:
    run = await done(world, organization)
    world.is_touched = True
    await world.db.execute("ALTER TABLE portcullis.audit_entry DISABLE TRIGGER only_added_to")
    await world.db.execute("UPDATE portcullis.audit_entry SET happened_at = now() WHERE effect = 'finished'")
    assert (await cli("prove", run)).code is ExitCode.AUDIT_EDITED
    verified = await cli("audit", "verify", run, "--json")
    assert (verified.code, verified.document["finding"]["kind"]) == (ExitCode.AUDIT_EDITED, "edited")


async def test_verifying_says_what_was_looked_at_and_what_to_keep(world: World, cli: Cli, organization: Organization) -> None:
    await done(world, organization)
    told = await cli("audit", "verify", "--json")
    assert (told.code, told.document["whole"], told.document["members"]) == (ExitCode.OK, True, 5)
    kept = told.document["last_checkpoint"]
    assert (await cli("audit", "verify", "--witness", kept)).code is ExitCode.OK
    assert (await cli("audit", "verify", "--witness", f"2:{kept.partition(':')[2]}")).code is ExitCode.AUDIT_NO_CHECKPOINT


async def test_without_the_ring_signatures_and_order_are_checked(
    world: World, cli: Cli, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(world, organization)
    (public,) = (await cli("audit", "key")).out.split()
    monkeypatch.delenv("PORTCULLIS_KEYS")
    told = await cli("audit", "verify", "--public-key", public)
    assert (told.code, "Without the ring" in told.out) == (ExitCode.OK, True)
    world.is_touched = True
    await world.db.execute("ALTER TABLE portcullis.audit_seal DISABLE TRIGGER only_added_to")
    await world.db.execute("DELETE FROM portcullis.audit_seal WHERE place = 3")
    assert (await cli("audit", "verify", "--public-key", public)).code is ExitCode.AUDIT_MISSING


async def test_an_unknown_run_and_wrong_words_are_said_to_be_so(cli: Cli, database_url: str) -> None:
    assert (await cli("prove", 77)).code is ExitCode.NOT_FOUND
    assert (await cli("audit", "verify", 77)).code is ExitCode.NOT_FOUND
    assert (await cli("prove")).code is ExitCode.USAGE
    assert (await cli("audit", "verify", "--witness", "x")).code is ExitCode.USAGE
    assert (await cli("audit", "verify", "--public-key", "k1:x")).code is ExitCode.USAGE
