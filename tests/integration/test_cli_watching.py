"""`watch` and `enforce --wait`: until the run is over, through a lost connection, on a terminal and in a log."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise

import asyncpg
import pytest

from jobs.client import require_second_factor
from tests.integration.cli_runner import Cli, Outcome, until
from tests.integration.main_app_people import an_admin, an_organization
from workers.cli.exit_codes import ExitCode


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url})


@pytest.fixture
async def run(db: asyncpg.Connection) -> int:
    organization = await an_organization(db)
    return await require_second_factor(db, organization, requested_by=await an_admin(db, organization), reason="audit")


async def watched(cli: Cli, db: asyncpg.Connection, meanwhile: Callable[[], Awaitable[None]], *tokens: object) -> Outcome:
    """Run a command that watches; once it has a connection, do something else."""
    watching = asyncio.create_task(cli(*tokens))
    await until(lambda: pid_of_watcher(db))
    await asyncio.sleep(0.2)
    await meanwhile()
    return await asyncio.wait_for(watching, 30)


async def pid_of_watcher(db: asyncpg.Connection) -> int | None:
    pid: int | None = await db.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'portcullis command line' AND datname = current_database()"
    )
    return pid


async def judge(db: asyncpg.Connection, run: int, members: int) -> None:
    """Stand in for a worker: one batch is enforced, and its letters are owed."""
    await db.execute("UPDATE portcullis.batch SET state = 'done', done_at = now() WHERE run_id = $1 AND stage = 'plan'", run)
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state, done_at, members, unprotected, sessions_ended)"
        " VALUES ($1, 'enforce', 'done', now(), $2, $2, $2 * 2)",
        *(run, members),
    )
    await db.execute("INSERT INTO portcullis.batch (run_id, stage, owed) VALUES ($1, 'notice', $2)", run, members)


async def finish(db: asyncpg.Connection, run: int) -> None:
    await db.execute(
        "UPDATE portcullis.batch SET state = 'done', accepted = owed, owed = 0, done_at = now() WHERE run_id = $1 AND stage = 'notice'", run
    )
    await db.execute("UPDATE portcullis.run SET state = 'done', finished_at = now() WHERE run_id = $1", run)


async def test_a_log_gets_a_line_when_something_moved_and_a_summary(cli: Cli, db: asyncpg.Connection, run: int) -> None:
    async def work() -> None:
        await judge(db, run, 1_500)
        await asyncio.sleep(2.5)
        await finish(db, run)

    seen = await watched(cli, db, work, "watch", run, "--every", "0.1")
    assert seen.code is ExitCode.OK
    told, _, summary = seen.out.partition(f"Run {run} of organization")
    moves = told.splitlines()
    assert [line.split()[1] for line in moves] == ["plan", "notify", "finish"]
    assert "sessions ended 3,000, letters 0 of 1,500" in moves[1]
    assert "letters 1,500 of 1,500" in moves[2]
    assert "1,500 judged: 1,500 unprotected" in summary


async def test_a_program_gets_an_object_a_line_and_only_when_it_changed(cli: Cli, db: asyncpg.Connection, run: int) -> None:
    async def work() -> None:
        await judge(db, run, 7)
        await asyncio.sleep(0.5)
        await finish(db, run)

    seen = await watched(cli, db, work, "watch", run, "--every", "0.1", "--json")
    objects = [json.loads(line) for line in seen.out.splitlines()]
    assert objects[-1]["state"] == "done"
    assert objects[-1] == json.loads(await db.fetchval("SELECT portcullis.run_status($1)", run))
    assert all(one != next_ for one, next_ in pairwise(objects))
    assert objects[0]["members"] == 0
    assert 7 in [one["letters"]["owed"] for one in objects]


async def test_a_cancelled_run_is_no_success(cli: Cli, db: asyncpg.Connection, run: int) -> None:
    async def cancel() -> None:
        await db.execute("SELECT portcullis.cancel_run($1, 'wrong day')", run)

    seen = await watched(cli, db, cancel, "watch", run, "--every", "0.1")
    assert seen.code is ExitCode.REFUSED
    assert "cancelled (wrong day)" in seen.out


async def test_a_lost_connection_is_made_again(cli: Cli, db: asyncpg.Connection, run: int) -> None:
    async def lose_and_finish() -> None:
        await db.fetchval("SELECT pg_terminate_backend($1)", await pid_of_watcher(db))
        await asyncio.sleep(0.3)
        await judge(db, run, 3)
        await finish(db, run)

    seen = await watched(cli, db, lose_and_finish, "watch", run, "--every", "0.1")
    assert seen.code is ExitCode.OK
    assert "still trying" in seen.out


async def test_a_run_that_stands_still_says_why(cli: Cli, db: asyncpg.Connection, run: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cli.screens.STILL_SECONDS", 0.3)

    async def wait_and_finish() -> None:
        await asyncio.sleep(0.6)
        await finish(db, run)

    seen = await watched(cli, db, wait_and_finish, "watch", run, "--every", "0.1")
    assert seen.out.count("No conductor leads") == 1
    assert seen.out.count("No worker serves the queue `enforce`") == 1


async def test_enforcing_and_waiting_ends_with_the_run(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    admin = await an_admin(db, organization)

    async def work() -> None:
        run = await db.fetchval("SELECT max(run_id) FROM portcullis.run")
        await judge(db, run, 5)
        await finish(db, run)

    switch = ("enforce", organization, "--as", admin, "--reason", "audit", "--wait")
    seen = await watched(cli, db, work, *switch)
    assert seen.code is ExitCode.OK
    assert "is opened" in seen.out.splitlines()[0]
    assert "finished" in seen.out
    again = await cli(*switch, "--json")
    assert again.code is ExitCode.OK
    assert (again.document["state"], again.document["is_new"]) == ("done", False)
