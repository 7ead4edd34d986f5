"""Orders on the command line: what each prints and changes, whose name is on it, and how it refuses."""

import getpass

import asyncpg
import pytest

from jobs.client import require_second_factor
from jobs.store import steering, workers
from tests.integration.cli_runner import Cli
from tests.integration.main_app_people import an_admin, an_organization
from workers.cli.exit_codes import ExitCode

WHY = ("--reason", "the relay is on fire")


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """With DATABASE_URL and nothing else."""
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


async def a_run(db: asyncpg.Connection) -> int:
    organization = await an_organization(db)
    return await require_second_factor(db, organization, requested_by=await an_admin(db, organization), reason="audit")


async def a_dead_batch(db: asyncpg.Connection, run: int, *, stage: str = "notice", error: str = "view is broken") -> int:
    return int(
        await db.fetchval(
            "INSERT INTO portcullis.batch (run_id, stage, state, attempts, owed, error, done_at) VALUES ($1, $2, 'dead', 12, 3, $3, now())"
            " RETURNING batch_id",
            *(run, stage, error),
        )
    )


async def verbs(db: asyncpg.Connection) -> list[str]:
    return [action.verb for action in reversed(await steering.list_actions(db))]


async def test_a_run_is_paused_shown_and_resumed(cli: Cli, db: asyncpg.Connection) -> None:
    run = await a_run(db)
    paused = await cli("pause", run, *WHY, "--json")
    assert (paused.code, paused.document) == (ExitCode.OK, {"scope": "run", "subject": str(run), "paused": True, "is_new": True})
    again = await cli("pause", run, *WHY)
    assert (again.code, "was paused already" in again.out) == (ExitCode.OK, True)
    assert "the relay is on fire" in (await cli("pauses")).out
    status = (await cli("status", run)).out
    assert f"`portcullis resume {run} --reason ...` lets it go on" in status
    assert (await cli("status", run, "--json")).document["paused"]["by"] == getpass.getuser()

    await cli("pause", "--everything", *WHY)
    resumed = await cli("resume", run, *WHY)
    assert resumed.out == f"Run {run} goes on.\n"
    assert "It still waits: everything is paused by" in resumed.err
    assert (await cli("resume", "--everything", *WHY, "--json")).document["still_paused_by"] is None
    refused = await cli("resume", run, *WHY, "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.REFUSED, "not_paused")
    assert (await cli("pauses")).out == "Nothing is paused.\n"
    assert await verbs(db) == ["pause", "pause", "resume", "resume"]


@pytest.mark.parametrize(
    ("tokens", "target"),
    [(("--letters",), ("queue", "notify")), (("--sessions",), ("queue", "enforce")), (("--everything",), ("everything", ""))],
)
async def test_more_than_a_run_is_paused_by_a_word(
    cli: Cli, db: asyncpg.Connection, tokens: tuple[str, ...], target: tuple[str, str]
) -> None:
    document = (await cli("pause", *tokens, *WHY, "--json")).document
    assert (document["scope"], document["subject"]) == target
    assert (await cli("pauses", "--json")).document["pauses"][0]["scope"] == target[0]


async def test_an_organization_is_paused_by_its_id(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    assert f"Organization {organization} is paused." in (await cli("pause", "--organization", organization, *WHY)).out
    [action] = (await cli("actions", "--organization", organization, "--json")).document["actions"]
    assert (action["verb"], action["via"], action["actor"], action["reason"]) == ("pause", "cli", getpass.getuser(), WHY[1])
    assert WHY[1] in (await cli("actions")).out


async def test_refusals_have_a_name_and_change_nothing(cli: Cli, db: asyncpg.Connection) -> None:
    run = await a_run(db)
    plan = await a_dead_batch(db, run, stage="plan")
    for tokens, code, name in (
        (("pause", 7_777, *WHY), ExitCode.NOT_FOUND, "unknown_run"),
        (("pause", "--organization", 7_777, *WHY), ExitCode.NOT_FOUND, "unknown_organization"),
        (("pause", "--organization", "x", *WHY), ExitCode.USAGE, "malformed_id"),
        (("pause", run, "--letters", *WHY), ExitCode.USAGE, "usage"),
        (("pause", *WHY), ExitCode.USAGE, "usage"),
        (("pause", run, "--reason", "  "), ExitCode.USAGE, "malformed_order"),
        (("cancel", run, "--reason", ""), ExitCode.USAGE, "malformed_order"),
        (("actions", "--run", 7_777), ExitCode.NOT_FOUND, "unknown_run"),
        (("limits", "set", "domain", "-1", *WHY), ExitCode.USAGE, "malformed_order"),
        (("limits", "set", "domain", "nan", *WHY), ExitCode.USAGE, "malformed_order"),
        (("limits", "clear", "quota", *WHY), ExitCode.REFUSED, "no_limit"),
        (("breakers", "close", "letter", "report", *WHY), ExitCode.NOT_FOUND, "unknown_breaker"),
        (("breakers", "close", "everything", "x", *WHY), ExitCode.USAGE, "usage"),
        (("breakers", "close", "letter", "report", "--for", "0s", *WHY), ExitCode.USAGE, "usage"),
        (("workers", "drain", "host:7", *WHY), ExitCode.NOT_FOUND, "unknown_worker"),
        (("dead", "show", 7_777), ExitCode.NOT_FOUND, "unknown_batch"),
        (("dead", "discard", plan, *WHY), ExitCode.REFUSED, "not_discardable"),
        (("dead", "discard", plan), ExitCode.USAGE, "usage"),
        (("dead", "replay", "--fingerprint", "nonsense", *WHY), ExitCode.REFUSED, "not_dead"),
        (("dead", "nonsense"), ExitCode.USAGE, "usage"),
    ):
        refused = await cli(*tokens, "--json")
        assert (refused.code, refused.document["error"]["name"]) == (code, name), (tokens, refused.err)
        assert "What to do: " in refused.err
        assert "Traceback" not in refused.err
    assert (await verbs(db), await steering.list_pauses(db)) == ([], [])


async def test_limits_are_listed_set_and_cleared(cli: Cli) -> None:
    assert "the configured ones hold" in (await cli("limits")).out
    assert "the configured one held before" in (await cli("limits", "set", "domain", 5, "--of", "example.com", *WHY)).out
    assert "it was 5 before" in (await cli("limits", "set", "domain", 0, "--of", "example.com", *WHY)).out
    [limit] = (await cli("limits", "--json")).document["limits"]
    assert (limit["scope"], limit["subject"], limit["amount"]) == ("domain", "example.com", 0)
    assert "no limit" in (await cli("limits", "list")).out
    cleared = (await cli("limits", "clear", "domain", "--of", "example.com", *WHY, "--json")).document
    assert cleared == {"scope": "domain", "subject": "example.com", "amount": None, "before": 0}


async def test_a_breaker_is_held_closed_for_a_day(cli: Cli, db: asyncpg.Connection) -> None:
    assert (await cli("breakers")).out == "No breaker has been open.\n"
    await db.execute("INSERT INTO portcullis.breaker (scope, subject, state, cause) VALUES ('letter', 'report', 'open', '554 no')")
    assert "554 no" in (await cli("breakers")).out
    closed = await cli("breakers", "close", "letter", "report", "--for", "24h", *WHY, "--json")
    assert closed.document == {"scope": "letter", "subject": "report", "closed": 1, "held_seconds": 86_400}
    [breaker] = (await cli("breakers", "list", "--json")).document["breakers"]
    assert (breaker["state"], breaker["changed_by"]) == ("closed", getpass.getuser())
    assert (await cli("breakers", "close", "letter", "report", *WHY)).code is ExitCode.REFUSED


async def test_a_worker_is_told_to_drain_once(cli: Cli, db: asyncpg.Connection) -> None:
    assert "No worker is alive" in (await cli("workers")).out
    await workers.announce(db, "host:7/notify", "notify", 2, "1")
    assert "at work" in (await cli("workers")).out
    assert (await cli("workers", "drain", "host:7/notify", *WHY, "--json")).document == {"worker": "host:7/notify", "is_new": True}
    assert "had been told already" in (await cli("workers", "drain", "host:7", *WHY)).out
    assert f"told to end by {getpass.getuser()}" in (await cli("workers", "list")).out


async def test_dead_batches_are_grouped_shown_counted_and_given_up(cli: Cli, db: asyncpg.Connection) -> None:
    run = await a_run(db)
    first, second = await a_dead_batch(db, run, error="broken at 1"), await a_dead_batch(db, run, error="broken at 2")
    [group] = (await cli("dead", "--grouped", "--json")).document["groups"]
    assert (group["batches"], group["letters"], group["batch_id"], group["can_discard"]) == (2, 6, second, True)
    assert group["fingerprint"] in (await cli("dead", "list", "--grouped", "--run", run)).out
    assert {one["fingerprint"] for one in (await cli("dead", "--json")).document["dead"]} == {group["fingerprint"]}
    assert (await cli("dead", "show", first, "--json")).document["alike"] == 2
    assert "broken at 1" in (await cli("dead", "show", first)).out

    alike = ("--fingerprint", group["fingerprint"])
    counted = {"batches": 2, "runs": 1, "letters": 6, "replayable": 2, "discardable": 2}
    assert (await cli("dead", "discard", *alike, "--dry-run", "--json")).document == {"dry_run": counted}
    assert "Nothing was changed." in (await cli("replay", "--run", run, "--dry-run")).out
    assert await verbs(db) == []
    given_up = await cli("dead", "discard", *alike, "--most", 1, *WHY)
    assert given_up.out == f"Given up: batch {first}.\n"
    assert given_up.err == "1 more of them are dead.\n"
    assert (await cli("dead", "replay", "--everything", *WHY, "--json")).document == {"replayed": [second]}
    assert (await cli("dead")).out == "No batch is dead.\n"
    assert await verbs(db) == ["discard", "replay"]


async def test_the_switch_is_recorded_under_the_name_that_it_is_flipped_in(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    admin = await an_admin(db, organization)
    who = ("--as", admin, "--reason", "audit")
    run = (await cli("enforce", organization, *who, "--json")).document["run_id"]
    await cli("enforce", organization, *who)
    await cli("cancel", run, *WHY)
    await cli("lift", organization, *who)
    await cli("lift", organization, *who)
    actions = (await cli("actions", "--organization", organization, "--json")).document["actions"]
    assert [(action["verb"], action["actor"], action["run_id"]) for action in actions] == [
        ("lift", str(admin), None),
        ("cancel", getpass.getuser(), run),
        ("enforce", str(admin), run),
    ]
    assert [one["verb"] for one in (await cli("actions", "--before", actions[1]["action_id"], "--json")).document["actions"]] == ["enforce"]
