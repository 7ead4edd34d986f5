"""What the console is looked at over: real processes, and four runs: under way, stuck, failed, done."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.browser.system import until
from tests.conftest import UNDER_ROLES
from tests.pipeline.system import System
from tests.relay import Rule, Stage
from tests.role_parts import install_with_roles
from workers.demo.main_app import IdType, main_app_sql
from workers.migrations import migrate

SLOW_DOMAIN = "slow.example"
ORGANIZATIONS = """
    INSERT INTO app.organizations (organization_id, name, locale, time_zone, support_url) OVERRIDING SYSTEM VALUE VALUES
        (1, 'Heron Works', 'en-GB', 'Europe/London', NULL), (2, 'Kestrel Logistics', 'en-US', 'America/Chicago', NULL),
        (3, 'Osprey Foundation', 'en-GB', 'Europe/London', NULL), (4, 'Plover & Sons', 'en-GB', 'Europe/London', NULL);
    INSERT INTO app.users (user_id, email, display_name, password_hash, deactivated_at) OVERRIDING SYSTEM VALUE
    SELECT n, 'm' || n || CASE WHEN n BETWEEN 3000 AND 3999 THEN '@slow' WHEN n % 27 = 0 THEN '@gone' ELSE '@kestrel' END || '.example',
           'Member ' || n, CASE WHEN n % 5 > 0 THEN 'hash' END, CASE WHEN n % 41 = 0 THEN now() END
    FROM generate_series(1, 4060) n WHERE n <= 60 OR n BETWEEN 2000 AND 2800 OR n BETWEEN 3000 AND 3040 OR n >= 4000;
    INSERT INTO app.memberships (organization_id, user_id)
    SELECT CASE WHEN user_id < 1000 THEN 1 WHEN user_id < 3000 THEN 2 WHEN user_id < 4000 THEN 3 ELSE 4 END, user_id FROM app.users;
    INSERT INTO app.identities SELECT 'https://login.example.com', user_id::text, user_id FROM app.users WHERE user_id % 5 = 0;
    INSERT INTO app.second_factors (user_id, confirmed_at) SELECT user_id, now() FROM app.users WHERE user_id % 3 = 1 AND user_id % 5 > 0;
    INSERT INTO app.sessions (user_id, started_with) SELECT user_id, 'password' FROM app.users CROSS JOIN generate_series(1, 2)
    WHERE user_id % 5 > 0
"""
ADMINS = {1: 1, 2: 2002, 3: 3001, 4: 4003}
"""Active members with a second factor: user_id % 3 = 1 and not % 5 = 0."""


@dataclass(kw_only=True)
class Ground:
    """It runs. `runs` by what they are: done, running, stuck, failed."""

    system: System
    url: str
    directory: Path
    runs: dict[str, int] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)

    def ask(self, query: str, *arguments: Any) -> Any:
        """Return the first value of a query's first row."""
        with closing(psycopg.connect(self.system.database_url, autocommit=True)) as db:
            row = db.execute(query.encode(), arguments).fetchone()
            return row and row[0]

    def do(self, statement: str, *arguments: Any) -> None:
        """Change something behind the pages."""
        with closing(psycopg.connect(self.system.database_url, autocommit=True)) as db:
            db.execute(statement.encode(), arguments)

    def require(self, organization: int, reason: str) -> int:
        """Switch on; returns the run."""
        return int(self.ask("SELECT portcullis.require_second_factor(%s, %s, %s)", organization, ADMINS[organization], reason))

    def status(self, run: int) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("SELECT portcullis.run_status(%s)", run)
        return found


@contextmanager
def standing(directory: Path, database_url: str, redis_url: str) -> Iterator[Ground]:
    """Start everything, bring the four runs about, and end everything afterwards."""
    _install(database_url)
    system = System(directory, database_url, redis_url)
    os.environ["PORTCULLIS_CONSOLE_ADDRESS"] = "127.0.0.1:0"
    try:
        system.start_relay()
        # So many letters a second that there is something to look at, and one of nine addresses is gone.
        system.obey(
            Rule(stage=Stage.RCPT, recipient="*@gone.example", reply="550 5.1.1 No such mailbox"),
            Rule(stage=Stage.RCPT, recipient="*@slow.example", reply="451 4.7.1 Greylisted, try again later"),
        )
        for name in ("conductor", "enforcer", "mailer", "console"):
            system.start(name)
        ground = Ground(system=system, url=until(lambda: _origin(directory / "console.log"), seconds=30), directory=directory)
        _bring_about(ground)
        yield ground
    finally:
        del os.environ["PORTCULLIS_CONSOLE_ADDRESS"]
        system.stop()


def _install(database_url: str) -> None:
    if UNDER_ROLES:
        install_with_roles(database_url, IdType.BIGINT)
    with closing(psycopg.connect(database_url, autocommit=True)) as db:
        if not UNDER_ROLES:
            db.execute(main_app_sql())
            migrate(database_url)
        db.execute(ORGANIZATIONS.encode())


def _origin(log: Path) -> str | None:
    for line in log.read_text().splitlines() if log.exists() else ():
        if (found := re.search(r"\{.*\}$", line)) and json.loads(found[0]).get("event") == "console_started":
            return str(json.loads(found[0])["origin"])
    return None


def _bring_about(ground: Ground) -> None:
    ground.do(
        "INSERT INTO portcullis.send_limit (scope, subject, amount, set_by, reason)"
        " VALUES ('organization', '2', 2, 'noor', 'their relay asked us to be slow')"
    )
    ground.runs["done"] = ground.require(1, "audit finding 12")
    until(lambda: ground.status(ground.runs["done"])["state"] == "done", seconds=60)
    # Failed: what a batch of sessions needs was broken for twelve attempts.
    ground.do("ALTER FUNCTION directory.end_sessions RENAME TO end_sessions_away")
    ground.runs["failed"] = ground.require(4, "a password list was leaked")
    until(
        lambda: ground.ask(
            "SELECT count(*) FROM portcullis.batch WHERE run_id = %s AND attempts > 0 AND stage = 'enforce'", ground.runs["failed"]
        )
    )
    until(lambda: _hurry_to_the_end(ground, ground.runs["failed"]), seconds=60)
    ground.do("ALTER FUNCTION directory.end_sessions_away RENAME TO end_sessions")
    ground.runs["stuck"] = ground.require(3, "new policy")
    ground.runs["running"] = ground.require(2, "new security policy")
    until(lambda: ground.status(ground.runs["running"])["letters"]["accepted"] > 3, seconds=60)
    until(lambda: ground.status(ground.runs["stuck"])["letters"]["owed"] > 0, seconds=30)


def _hurry_to_the_end(ground: Ground, run: int) -> Any:
    """Let so much time pass that every attempt was made."""
    ground.do(
        "UPDATE portcullis.batch SET next_at = now(), attempts = greatest(attempts, 11)"
        " WHERE run_id = %s AND state = 'open' AND stage = 'enforce'",
        run,
    )
    time.sleep(0.1)
    return ground.ask("SELECT count(*) FROM portcullis.batch WHERE run_id = %s AND state = 'dead'", run)
