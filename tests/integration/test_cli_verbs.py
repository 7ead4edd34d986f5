"""The verbs that ask PostgreSQL, on a real one: what they print, what they change, and how they refuse."""

import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from jobs.client import require_second_factor
from tests.integration.cli_runner import Cli
from tests.integration.main_app_people import a_member, an_admin, an_organization
from workers.cli.exit_codes import ExitCode
from workers.demo.main_app import IdType

EVERY_ID_TYPE = pytest.mark.parametrize("id_type", list(IdType), indirect=True)
CANARY = "canary-7f3a"


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """With DATABASE_URL and nothing else."""
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


async def a_run(db: asyncpg.Connection) -> tuple[Any, Any, int]:
    """An organization, an admin of it, and its run."""
    organization = await an_organization(db)
    admin = await an_admin(db, organization)
    return organization, admin, await require_second_factor(db, organization, requested_by=admin, reason="audit")


async def a_batch(db: asyncpg.Connection, run: int, *, stage: str = "enforce", state: str = "dead", error: str = "view is broken") -> int:
    return int(
        await db.fetchval(
            "INSERT INTO portcullis.batch (run_id, stage, state, attempts, token, hinted_at, hints, error, done_at)"
            " VALUES ($1, $2, $3, 12, 40, now(), 3, $4, now()) RETURNING batch_id",
            *(run, stage, state, error),
        )
    )


@EVERY_ID_TYPE
async def test_a_switch_on_the_command_line(cli: Cli, db: asyncpg.Connection, id_type: IdType) -> None:
    organization = await an_organization(db)
    admin = await an_admin(db, organization)
    await a_member(db, organization, sessions=["password", "sso"])

    seen = await cli("preview", organization)
    assert seen.code is ExitCode.OK
    assert "1 of 2 members would be signed out, from 1 sessions." in seen.out
    document = (await cli("preview", organization, "--json")).document
    assert (document["organization_id"], document["members"], document["sessions"]) == (_json(organization), 2, 1)
    assert document["required_by_run"] is None

    opened = await cli("enforce", organization, "--as", admin, "--reason", "audit", "--json")
    assert opened.code is ExitCode.OK
    run = opened.document["run_id"]
    assert (opened.document["is_new"], opened.document["organization_id"]) == (True, _json(organization))

    again = await cli("enforce", organization, "--as", admin, "--reason", "once more", "--json")
    assert (again.code, again.document["run_id"], again.document["is_new"]) == (ExitCode.OK, run, False)
    told = await cli("enforce", organization, "--as", admin, "--reason", "once more")
    assert "A requirement stands already" in told.out
    assert f"portcullis status {run}" in (await cli("preview", organization)).err

    assert (await cli("status", run, "--json")).document == json.loads(await db.fetchval("SELECT portcullis.run_status($1)", run))
    assert [one["run_id"] for one in (await cli("runs", "--organization", organization, "--json")).document["runs"]] == [run]

    lifted = await cli("lift", organization, "--as", admin, "--reason", "over", "--json")
    assert lifted.document == {"organization_id": _json(organization), "required": False, "epoch": 2}
    assert (await cli("lift", organization, "--as", admin, "--reason", "over")).code is ExitCode.REFUSED


def _json(given: Any) -> Any:
    return given if isinstance(given, int) else str(given)


@EVERY_ID_TYPE
async def test_bad_input_is_named_and_changes_nothing(cli: Cli, db: asyncpg.Connection, id_type: IdType) -> None:
    organization = await an_organization(db)
    admin, unprotected = await an_admin(db, organization), await a_member(db, organization)
    nobody = {IdType.UUID: str(uuid4()), IdType.TEXT: "nobody"}.get(id_type, "999999")
    for tokens, code, name, word in (
        (("preview", nobody), ExitCode.NOT_FOUND, "unknown_organization", nobody),
        (("enforce", nobody, "--as", admin, "--reason", "x"), ExitCode.NOT_FOUND, "unknown_organization", nobody),
        (("enforce", organization, "--as", nobody, "--reason", "x"), ExitCode.REFUSED, "not_a_member", nobody),
        (("enforce", organization, "--as", unprotected, "--reason", "x"), ExitCode.REFUSED, "not_compliant", str(unprotected)),
        (("lift", organization, "--as", admin, "--reason", "x"), ExitCode.REFUSED, "nothing_to_lift", str(organization)),
        (("runs", "--organization", nobody), ExitCode.NOT_FOUND, "unknown_organization", nobody),
        (("status", 7_777), ExitCode.NOT_FOUND, "unknown_run", "7777"),
        (("watch", 7_777), ExitCode.NOT_FOUND, "unknown_run", "7777"),
        (("cancel", 7_777, "--reason", "x"), ExitCode.NOT_FOUND, "unknown_run", "7777"),
        (("dead", "--run", 7_777), ExitCode.NOT_FOUND, "unknown_run", "7777"),
        (("replay", 7_777, "--reason", "x"), ExitCode.NOT_FOUND, "unknown_batch", "7777"),
        (("replay", "--run", 7_777, "--reason", "x"), ExitCode.NOT_FOUND, "unknown_run", "7777"),
    ):
        refused = await cli(*tokens, "--json")
        assert (refused.code, refused.document["error"]["name"]) == (code, name), tokens
        assert refused.document["error"]["exit_code"] == code
        assert word in refused.err
        assert "What to do: " in refused.err
        assert "Traceback" not in refused.err
    assert await db.fetchval("SELECT (SELECT count(*) FROM portcullis.policy) + (SELECT count(*) FROM portcullis.run)") == 0


@pytest.mark.parametrize(
    ("id_type", "malformed"),
    [(IdType.INTEGER, "seven"), (IdType.INTEGER, str(2**31)), (IdType.BIGINT, "1.5"), (IdType.BIGINT, str(2**63)), (IdType.UUID, "42")],
    indirect=["id_type"],
)
async def test_a_malformed_id_is_wrong_usage(cli: Cli, id_type: IdType, malformed: str) -> None:
    for tokens in (
        ("preview", malformed),
        ("enforce", malformed, "--as", malformed, "--reason", "x"),
        ("runs", "--organization", malformed),
    ):
        refused = await cli(*tokens)
        assert refused.code is ExitCode.USAGE
        assert malformed in refused.err
        assert f"of type {id_type}" in refused.err


async def test_an_organization_without_members_affects_nobody(cli: Cli, db: asyncpg.Connection) -> None:
    seen = await cli("preview", await an_organization(db))
    assert seen.code is ExitCode.OK
    assert "has no members" in seen.out


async def test_kinds_can_be_exempted(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    admin = await an_admin(db, organization)
    await a_member(db, organization, kind="service", sessions=["token"])
    rows = (await cli("preview", organization, "--exempt", "service", "--exempt", "robot", "--json")).document["rows"]
    assert [(row["verdict"], row["sessions"]) for row in rows] == [("protected", 0), ("exempt", 0)]
    await cli("enforce", organization, "--as", admin, "--reason", "x", "--exempt", "service", "--exempt", "robot")
    assert await db.fetchval("SELECT exempt_kinds FROM portcullis.policy") == ["service", "robot"]


async def test_a_run_is_described_with_its_trouble_and_what_to_do(cli: Cli, db: asyncpg.Connection) -> None:
    _, admin, run = await a_run(db)
    await a_batch(db, run, error="\x1b[2Jview \u202eis broken")
    told = (await cli("status", run)).out
    assert f"by {admin}: audit" in told
    assert "1 dead" in told
    assert "view" in told
    assert all(line.isprintable() for line in told.splitlines())
    for advice in (f"portcullis replay --run {run}", "portcullis conductor", "queue `enforce`"):
        assert advice in told


async def test_runs_are_listed_newest_first_and_limited(cli: Cli, db: asyncpg.Connection) -> None:
    assert "No run yet" in (await cli("runs")).out
    assert (await cli("runs", "--json")).document == {"runs": []}
    first, second = [(await a_run(db))[2] for _ in range(2)]
    assert [one["run_id"] for one in (await cli("runs", "--json")).document["runs"]] == [second, first]
    assert [one["run_id"] for one in (await cli("runs", "--limit", 1, "--json")).document["runs"]] == [second]
    assert [line.split()[0] for line in (await cli("runs")).out.splitlines()] == ["RUN", str(second), str(first)]


async def test_a_known_organization_may_have_no_runs(cli: Cli, db: asyncpg.Connection) -> None:
    assert (await cli("runs", "--organization", await an_organization(db), "--json")).document == {"runs": []}


async def test_a_run_is_cancelled_once_and_the_requirement_stands(cli: Cli, db: asyncpg.Connection) -> None:
    organization, _, run = await a_run(db)
    cancelled = (await cli("cancel", run, "--reason", "wrong day", "--json")).document
    assert (cancelled["state"], cancelled["stopped_because"]) == ("cancelled", "wrong day")
    again = await cli("cancel", run, "--reason", "again", "--json")
    assert (again.code, again.document["error"]["name"]) == (ExitCode.REFUSED, "run_is_over")
    assert await db.fetchval("SELECT required FROM portcullis.policy WHERE organization_id = $1", organization)


async def test_dead_batches_are_listed_with_their_reason(cli: Cli, db: asyncpg.Connection) -> None:
    assert "No batch is dead" in (await cli("dead")).out
    (_, _, run), (_, _, other) = await a_run(db), await a_run(db)
    batch, another = await a_batch(db, run), await a_batch(db, other, stage="notice", error="relay is gone")
    everything = (await cli("dead", "--json")).document["dead"]
    assert [(one["batch_id"], one["run_id"], one["stage"], one["error"]) for one in everything] == [
        (another, other, "notice", "relay is gone"),
        (batch, run, "enforce", "view is broken"),
    ]
    assert [one["batch_id"] for one in (await cli("dead", "--run", run, "--json")).document["dead"]] == [batch]
    assert "view is broken" in (await cli("dead")).out


async def test_a_replayed_batch_is_open_again_under_its_old_token(cli: Cli, db: asyncpg.Connection) -> None:
    _, _, run = await a_run(db)
    batch = await a_batch(db, run)
    await db.execute("UPDATE portcullis.run SET has_open_batches = false WHERE run_id = $1", run)
    told: list[str] = []
    await db.add_listener("portcullis", lambda *_: told.append("rung"))
    assert (await cli("replay", batch, "--reason", "the view is mended", "--json")).document == {"replayed": [batch]}
    row = await db.fetchrow(
        "SELECT b.state, b.attempts, b.token, b.hinted_at, b.hints, b.done_at, b.error, b.next_at <= now() AS is_due, r.has_open_batches"
        " FROM portcullis.batch b JOIN portcullis.run r USING (run_id) WHERE b.batch_id = $1",
        batch,
    )
    assert dict(row) == {
        "state": "open",
        "attempts": 0,
        "token": 40,
        "hinted_at": None,
        "hints": 0,
        "done_at": None,
        "error": "replayed (the view is mended) after: view is broken",
        "is_due": True,
        "has_open_batches": True,
    }
    assert told == ["rung"]
    again = await cli("replay", batch, "--reason", "again", "--json")
    assert (again.code, again.document["error"]["name"]) == (ExitCode.REFUSED, "not_dead")


async def test_all_dead_batches_of_a_run_are_replayed_and_no_others(cli: Cli, db: asyncpg.Connection) -> None:
    (_, _, run), (_, _, other) = await a_run(db), await a_run(db)
    batches = [await a_batch(db, run) for _ in range(3)]
    elsewhere = await a_batch(db, other)
    assert (await cli("replay", "--run", run, "--reason", "x", "--json")).document == {"replayed": batches}
    assert await db.fetchval("SELECT state FROM portcullis.batch WHERE batch_id = $1", elsewhere) == "dead"
    again = await cli("replay", "--run", run, "--reason", "x", "--json")
    assert (again.code, again.document["error"]["name"]) == (ExitCode.REFUSED, "not_dead")


async def test_what_is_no_longer_wanted_is_not_replayed(cli: Cli, db: asyncpg.Connection) -> None:
    _, _, run = await a_run(db)
    await cli("cancel", run, "--reason", "wrong day")
    batch = await a_batch(db, run)
    refused = await cli("replay", batch, "--reason", "x", "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.REFUSED, "not_wanted")
    assert await db.fetchval("SELECT state FROM portcullis.batch WHERE batch_id = $1", batch) == "dead"


async def test_a_missing_variable_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    for verb in ("status", "watch"):
        refused = await cli(verb, 1)
        assert refused.code is ExitCode.NOT_SET_UP
        assert "DATABASE_URL is missing" in refused.err
    refused = await cli("queues")
    assert "DATABASE_URL is missing" in refused.err
    assert "REDIS_URL is missing" in refused.err


@pytest.mark.parametrize("url", [f"mysql://me:{CANARY}@db/app", f"postgresql://me:{CANARY}/1@db/app"])
async def test_a_malformed_variable_is_named_without_its_secret(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    refused = await cli("status", 1, "--json")
    assert refused.code is ExitCode.NOT_SET_UP
    assert "DATABASE_URL" in refused.err
    assert CANARY not in refused.err + refused.out


async def test_a_database_that_is_away_is_said_to_be(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{CANARY}@127.0.0.1:1/app")
    refused = await cli("status", 1, "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.UNREACHABLE, "database_unreachable")
    assert "127.0.0.1:1/app" in refused.err
    assert CANARY not in refused.err + refused.out


async def test_a_database_that_does_not_exist_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.rpartition("/")[0] + "/no_such_database")
    refused = await cli("status", 1)
    assert refused.code is ExitCode.NOT_SET_UP
    assert "no_such_database" in refused.err


async def test_without_the_schema_one_is_sent_to_migrate(cli: Cli, monkeypatch: pytest.MonkeyPatch, main_app_database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", main_app_database_url)
    for tokens in (("status", 1), ("runs",), ("preview", 1), ("dead",), ("cancel", 1, "--reason", "x"), ("watch", 1)):
        refused = await cli(*tokens)
        assert refused.code is ExitCode.NOT_SET_UP
        assert "portcullis migrate" in refused.err


async def test_a_fault_of_the_main_apps_own_view_is_not_ours(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    await a_member(db, organization)
    await db.execute(
        "CREATE OR REPLACE VIEW directory.session AS"
        " SELECT session_id, user_id, organization_id, started_at, started_with FROM app.sessions WHERE session_id / 0 = 1"
    )
    await db.execute("INSERT INTO app.sessions (user_id) SELECT user_id FROM app.users")
    refused = await cli("preview", organization)
    assert refused.code is ExitCode.REFUSED
    assert "division by zero" in refused.err
    assert "main app's own views" in refused.err


async def test_what_postgres_quotes_of_rows_is_not_repeated(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    await db.execute(
        "CREATE FUNCTION app.refuse() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no such thing' USING DETAIL = 'Key (email)=(canary-7f3a@example.com) already exists.'; END $$"
    )
    await db.execute(
        "CREATE OR REPLACE VIEW directory.organization AS"
        " SELECT organization_id, app.refuse() AS name, locale, time_zone, support_url FROM app.organizations WHERE app.refuse() = 'x'"
    )
    refused = await cli("preview", organization, "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.REFUSED, "database_error")
    assert "no such thing" in refused.err
    assert CANARY not in refused.out + refused.err


async def test_a_reason_that_is_no_text_is_wrong_usage(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    admin = await an_admin(db, organization)
    refused = await cli("enforce", organization, "--as", admin, "--reason", "\udcff")
    assert refused.code is ExitCode.USAGE
    assert "UTF-8" in refused.err


async def test_a_fault_of_ours_is_shown_whole_and_ends_with_seventy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("jobs.store.operations.look", broken)
    ended = await cli("status", 1, "--json")
    assert (ended.code, ended.document["error"]["name"]) == (ExitCode.BUG, "bug")
    assert "RuntimeError: unforeseen" in ended.err
