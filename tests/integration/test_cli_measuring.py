"""`portcullis metrics` as a process, and `portcullis health` as a probe would run it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.integration.cli_runner import Cli
from workers.cli.exit_codes import ExitCode

NOWHERE = "postgresql://nobody@127.0.0.1:9/gone"
HERE = socket.gethostname()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str, redis_url: str) -> Cli:
    return Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


@contextmanager
def serving(log: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the server; yields it and where it answers."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("PORTCULLIS_")} | environment
    with log.open("wb") as out:
        command = [sys.executable, "-m", "workers", "metrics"]
        process = subprocess.Popen(command, stderr=out, env=given | {"PORTCULLIS_METRICS_ADDRESS": "127.0.0.1:0"})
    try:
        yield process, f"http://{address(process, log)}"
    finally:
        process.kill()
        process.wait(10)


def address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and (said := json.loads(line))["event"] == "metrics_serving":
                return str(said["address"])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=15) as client:
        yield client


async def test_the_server_answers_on_loopback_and_drains_when_it_is_asked_to_end(
    database_url: str, redis_url: str, tmp_path: Path, web: httpx.AsyncClient
) -> None:
    with serving(tmp_path / "log", DATABASE_URL=database_url, REDIS_URL=redis_url) as (process, url):
        assert "portcullis_database_up 1.0" in (await web.get(f"{url}/metrics")).text
        assert (await web.get(f"{url}/healthz")).status_code == 200
        assert (await web.get(f"{url}/readyz")).status_code == 503  # no conductor
        assert (await web.post(f"{url}/metrics")).status_code == 405
        assert (await web.get(f"{url}/")).status_code == 404
        assert "server" not in (await web.get(f"{url}/metrics")).headers
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


async def test_with_the_database_away_it_starts_all_the_same_and_says_so(redis_url: str, tmp_path: Path, web: httpx.AsyncClient) -> None:
    with serving(tmp_path / "log", DATABASE_URL=NOWHERE, REDIS_URL=redis_url) as (_, url):
        assert "portcullis_database_up 0.0" in (await web.get(f"{url}/metrics")).text
        problem = (await web.get(f"{url}/readyz")).json()
        assert [cause["name"] for cause in problem["causes"]] == ["database_lost"]


async def test_a_stuck_server_does_not_answer_its_probe(database_url: str, redis_url: str, tmp_path: Path, web: httpx.AsyncClient) -> None:
    with serving(tmp_path / "log", DATABASE_URL=database_url, REDIS_URL=redis_url) as (process, url):
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(httpx.TimeoutException):
            await web.get(f"{url}/healthz", timeout=1)
        process.send_signal(signal.SIGCONT)
        assert (await web.get(f"{url}/healthz")).status_code == 200


async def test_an_address_that_is_taken_is_said_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PORTCULLIS_METRICS_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        told = await cli("metrics")
    assert told.code is ExitCode.NOT_SET_UP
    assert "can't be listened at" in told.err


# The probe.


async def hear_of(db: asyncpg.Connection, kind: str, *, pid: int = 1, host: str = HERE, silent: float = 0, lag: float = 0) -> None:
    await db.execute(
        "INSERT INTO portcullis.process (process, kind, version, telling, loop_lag_seconds, seen_at)"
        " VALUES ($1, $2, '1', gen_random_uuid(), $3, now() - make_interval(secs => $4))",
        f"{host}:{pid}",
        kind,
        lag,
        silent,
    )


@pytest.fixture
def killed() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(10)
    return ended.pid


async def test_a_host_whose_processes_are_heard_of_is_well(cli: Cli, db: asyncpg.Connection, killed: int) -> None:
    await hear_of(db, "mailer")
    await hear_of(db, "mailer", pid=killed, silent=300)  # and another one started since
    assert (await cli("health")).code is ExitCode.OK
    assert (await cli("health", "mailer", "--json")).document == {"is_well": True, "faults": []}


async def test_where_all_of_a_kind_were_killed_that_is_not_well(cli: Cli, db: asyncpg.Connection, killed: int) -> None:
    await hear_of(db, "mailer", pid=killed, silent=31)
    await hear_of(db, "mailer", host="elsewhere")
    told = await cli("health", "--json")
    assert told.code is ExitCode.REFUSED
    assert [fault["name"] for fault in told.document["faults"]] == ["silent"]


@pytest.mark.parametrize(("silent", "lag"), [(31, 0), (0, 31)], ids=["silent for half a minute", "its loop late by half a minute"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another that is well"])
async def test_a_process_that_runs_and_is_stuck_is_not_well(
    cli: Cli, db: asyncpg.Connection, silent: float, lag: float, others: int
) -> None:
    await hear_of(db, "mailer", pid=os.getpid(), silent=silent, lag=lag)
    for _ in range(others):
        await hear_of(db, "mailer")
    told = await cli("health", "mailer", "--json")
    assert told.code is ExitCode.REFUSED
    (fault,) = told.document["faults"]
    assert (fault["name"], f"{HERE}:{os.getpid()}" in fault["what"]) == ("stuck", True)


async def test_a_process_that_was_asked_for_and_is_not_here_is_not_well(cli: Cli, db: asyncpg.Connection) -> None:
    await hear_of(db, "mailer")
    told = await cli("health", "conductor")
    assert (told.code, told.out) == (ExitCode.REFUSED, "")
    assert "no conductor has been heard of" in told.err
    assert "\n  What to do: Start it again.\n" in told.err


async def test_where_nothing_runs_nothing_is_well(cli: Cli) -> None:
    assert (await cli("health")).code is ExitCode.REFUSED


async def test_readiness_is_told_by_the_exit_code_too(cli: Cli, db: asyncpg.Connection) -> None:
    told = await cli("health", "--ready", "--json")
    assert (told.code, [fault["name"] for fault in told.document["faults"]]) == (ExitCode.REFUSED, ["no_conductor"])
    await db.execute("INSERT INTO portcullis.leader (role, holder, leased_until) VALUES ('conductor', 'x', now() + interval '1 hour')")
    assert (await cli("health", "--ready")).code is ExitCode.OK


async def test_a_probe_of_a_lost_database_ends_with_five(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    assert (await cli("health")).code is ExitCode.UNREACHABLE
    told = await cli("health", "--ready", "--json")
    assert (told.code, told.document["faults"][0]["name"]) == (ExitCode.REFUSED, "database_lost")
    assert "database_not_measured" in told.err
