"""The description is true, and what tries to break the API by it finds nothing: schemathesis, against the console as a process."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Databases, _install
from tests.integration.console.browser import KEYS
from workers.api.openapi import document
from workers.api.table import ENDPOINTS
from workers.demo.main_app import IdType

EXAMPLES = 40
PROGRAMS = Path(sys.executable).parent

SEEDED = """
    INSERT INTO app.organizations (name) VALUES ('Kestrel'), ('Osprey');
    INSERT INTO app.users (email, display_name, password_hash)
    VALUES ('mara@kestrel.example', 'Mara', 'x'), ('ada@kestrel.example', 'Ada', 'x');
    SELECT app.join_organization(1, 1, 'employee'), app.join_organization(1, 2, 'employee'), app.join_organization(2, 1, 'employee');
    SELECT app.confirm_second_factor(1);
    SELECT portcullis.require_second_factor(1, 1, 'audit'), portcullis.require_second_factor(2, 1, 'audit');
    INSERT INTO portcullis.batch (run_id, stage, state, error, done_at)
    SELECT 1, 'notice', 'dead', 'no ' || n, now() FROM generate_series(1, 3) n;
    INSERT INTO portcullis.worker (worker, queue, threads, version, host, pid) VALUES ('host:1/notify', 'notify', 2, '1', 'host', 1);
    INSERT INTO portcullis.breaker (scope, subject, state, cause, retry_at) VALUES ('letter', 'signed_out', 'open', '554', now());
"""


@pytest.fixture(scope="module")
def origin(databases: Databases, redis_url_of_module: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The console, with something of everything in its database, and where it is."""
    name = databases.create(databases.template("installed", IdType.BIGINT, build=lambda url: _install(url, IdType.BIGINT)))
    url = databases.url_of(name)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(SEEDED.encode())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTCULLIS_")} | {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url_of_module,
        "SMTP_URL": "smtp://127.0.0.1:9",
        "MAIL_FROM": "security@kestrel.example",
        "APP_URL": "https://app.kestrel.example",
        "PORTCULLIS_KEYS": KEYS,
        "PORTCULLIS_CONSOLE_ADDRESS": "127.0.0.1:0",
    }
    log = tmp_path_factory.mktemp("api") / "console.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "workers", "console"], stderr=out, env=environment)
    try:
        made = subprocess.run(
            [sys.executable, "-m", "workers", "tokens", "add", "bot", "--role", "operator", "--reason", "to be tested"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        os.environ["API_TOKEN_OF_TESTS"] = made.stdout.strip()
        yield _origin(process, log)
        assert "api_failed" not in log.read_text(), log.read_text()[-3000:]
    finally:
        os.environ.pop("API_TOKEN_OF_TESTS", None)
        process.terminate()
        process.wait(20)
        databases.drop(name)


@pytest.fixture(scope="module")
def redis_url_of_module(servers: Any) -> str:
    return str(servers.redis_url)


def _origin(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and (said := json.loads(line))["event"] == "console_started":
                return str(said["origin"])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_nothing_that_the_description_allows_or_forbids_breaks_it(origin: str, tmp_path: Path) -> None:
    """Every kind of check, what is allowed and what is forbidden, the same examples each time."""
    command = [
        *(str(PROGRAMS / "schemathesis"), "run", f"{origin}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {os.environ['API_TOKEN_OF_TESTS']}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
        *("--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=600)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    assert f"{len(ENDPOINTS)} selected / {len(ENDPOINTS)} total" in ran.stdout, ran.stdout


def test_the_description_has_every_endpoint_and_its_own_definitions() -> None:
    described = document()
    operations = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert operations == {(one.method.lower(), one.path) for one in ENDPOINTS}
    names = [operation["operationId"] for methods in described["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)):
        assert reference in described["components"]["schemas"]
    assert described["openapi"] == "3.1.0"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[one.name for one in ENDPOINTS])
def test_each_endpoint_says_what_it_does(endpoint: Any) -> None:
    assert endpoint.summary.endswith(".")
    assert endpoint.answer.__doc__
