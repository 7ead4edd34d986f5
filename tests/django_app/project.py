"""The project at work: organizations, and people with browsers.

The database is shared by the tests of a process, so every test makes an organization and people of its own and leaves others alone.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg
from django.db import connections

from tests.django_app.browser import Browser, sign_up

_numbers = count(1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The running project. `database` is a connection beside Django's own, in autocommit."""

    url: str
    database: psycopg.Connection[dict[str, Any]]

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement; return its rows."""
        return self.database.execute(statement, values).fetchall()

    def an_organization(self, name: str = "Acme") -> int:
        """Make an organization without members; return its id."""
        made = self.rows(
            "insert into organizations_organization (name, locale, time_zone, support_url)"
            " values (%s, 'en', 'Europe/Berlin', '') returning id",
            name,
        )
        return int(made[0]["id"])

    def join(self, organization: int, browser: Browser, kind: str = "employee") -> int:
        """Make the account of `browser` a member; return the user's id."""
        made = self.rows(
            "insert into organizations_membership (organization_id, user_id, kind)"
            " select %s, user_id, %s from account_emailaddress where email = %s returning user_id",
            organization,
            kind,
            browser.email,
        )
        return int(made[0]["user_id"])

    def require_second_factor(self, organization: int, admin: int) -> int:
        """Switch on, as an admin's click does; return the run id."""
        switched = self.rows("select portcullis.require_second_factor(%s, %s, 'test') as run", organization, admin)
        return int(switched[0]["run"])

    def wait_until_somebody_waits(self) -> None:
        """Return when a connection to this database waits for a lock that another one holds."""
        waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        with psycopg.connect(self.url, autocommit=True) as observer:
            deadline = monotonic() + 10
            while not observer.execute(waiting).fetchall():
                assert monotonic() < deadline, "nobody waits"
                sleep(0.01)


@contextmanager
def in_background(work: Callable[[], T]) -> Iterator[Future[T]]:
    """Do `work` in a thread with a Django connection of its own, meanwhile."""

    def and_hang_up() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=1) as threads:
        yield threads.submit(and_hang_up)


def a_browser() -> Browser:
    """Return the browser of somebody without an account."""
    return Browser(email=f"person{next(_numbers)}@example.com")


def a_password_user() -> Browser:
    """Return the browser of somebody who signed up with a password and is signed in."""
    browser = a_browser()
    sign_up(browser.email)
    browser.sign_in()
    return browser


def a_protected_user() -> Browser:
    """Return the browser of somebody who signed up with a password, has an authenticator app, and is signed in."""
    browser = a_password_user()
    browser.activate_totp()
    return browser


def a_provider_user() -> Browser:
    """Return the browser of somebody who only ever came by the identity provider, and is signed in."""
    browser = a_browser()
    browser.sign_in_by_provider()
    return browser
