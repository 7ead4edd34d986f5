"""One run over a real main app: Django with allauth, accounts and sessions made by its own views, letters to a real mail server.

The processes are those of the Procfile. What is checked is what people see: who is signed out at the next request, who notices nothing,
what signing in again leads to, and which letter each of them got.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.django_app.browser import HOME, REAUTHENTICATE, SIGN_IN, Browser
from tests.django_app.project import App, a_password_user, a_protected_user, a_provider_user
from tests.django_app.system import letters, mail_server, workers

pytest_plugins = ["tests.django_app.fixtures"]

SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody of one organization, each one signed in, and somebody of another one."""

    admin: Browser
    unprotected: Browser
    contractor: Browser
    protected: Browser
    by_provider: Browser
    mixed: Browser
    """Of an account with a password and the identity provider: the session that the password opened."""
    mixed_by_provider: Browser
    stranger: Browser


def a_cast(app: App) -> tuple[Cast, int, int]:
    """Return the cast, the organization and the admin's user id."""
    mixed = a_password_user()
    mixed.connect_provider()
    cast = Cast(
        admin=a_protected_user(),
        unprotected=a_password_user(),
        contractor=a_password_user(),
        protected=a_protected_user(),
        by_provider=a_provider_user(),
        mixed=mixed,
        mixed_by_provider=Browser(email=mixed.email),
        stranger=a_password_user(),
    )
    cast.mixed_by_provider.sign_in_by_provider()
    organization = app.an_organization("Acme")
    for browser in (cast.unprotected, cast.protected, cast.by_provider, cast.mixed):
        app.join(organization, browser)
    app.join(organization, cast.contractor, kind="contractor")
    app.join(app.an_organization("Other"), cast.stranger)
    return cast, organization, app.join(organization, cast.admin)


def wait_until_done(app: App, run: int) -> dict[str, Any]:
    """Return the status of a run that is done."""
    deadline = monotonic() + SECONDS
    while True:
        (row,) = app.rows("select portcullis.run_status(%s) as status", run)
        status: dict[str, Any] = row["status"]
        if status["state"] == "done":
            return status
        assert monotonic() < deadline, status
        sleep(0.1)


def wait_until_reported(directory: Path) -> None:
    """Return when the admin's report has arrived, which is written once the run is done."""
    deadline = monotonic() + SECONDS
    while not any(letter.kind == "report" for letter in letters(directory)):
        assert monotonic() < deadline, letters(directory)
        sleep(0.1)


def test_a_run_over_a_real_app(app: App, redis_url: str, tmp_path: Path) -> None:
    cast, organization, admin = a_cast(app)
    served_before = {browser.lands_on() for browser in (cast.unprotected, cast.contractor, cast.protected, cast.by_provider, cast.mixed)}
    assert served_before == {HOME}

    with mail_server(tmp_path) as port, workers(tmp_path, database_url=app.url, redis_url=redis_url, smtp_port=port):
        run = app.require_second_factor(organization, admin)
        status = wait_until_done(app, run)
        wait_until_reported(tmp_path)

    assert status["verdicts"] == {"unprotected": 3, "protected": 2, "sso": 1, "exempt": 0, "inactive": 0}
    assert (status["members"], status["sessions_ended"], status["letters"]["accepted"]) == (6, 3, 6)

    signed_out = [cast.unprotected, cast.contractor, cast.mixed]
    assert [browser.lands_on() for browser in signed_out] == [SIGN_IN] * 3
    unaffected = [cast.admin, cast.protected, cast.by_provider, cast.mixed_by_provider, cast.stranger]
    assert [browser.lands_on() for browser in unaffected] == [HOME] * 5

    cast.unprotected.sign_in()
    assert cast.unprotected.lands_on() == REAUTHENTICATE  # the first page of the set-up: the password once more
    cast.unprotected.activate_totp()
    assert cast.unprotected.lands_on() == HOME
    next_time = Browser(email=cast.unprotected.email, secret=cast.unprotected.secret)
    next_time.sign_in()
    assert next_time.lands_on() == HOME

    by_recipient = Counter((letter.recipient, letter.kind) for letter in letters(tmp_path))
    assert by_recipient == Counter(
        [
            (cast.unprotected.email, "signed_out"),
            (cast.contractor.email, "signed_out"),
            (cast.mixed.email, "signed_out"),
            (cast.protected.email, "protected"),
            (cast.admin.email, "protected"),
            (cast.by_provider.email, "single_sign_on"),
            (cast.admin.email, "report"),
        ]
    )
    assert all("Acme" in letter.subject and "Acme" in letter.text for letter in letters(tmp_path))


def test_who_signs_in_to_enrol_while_the_run_goes_on_is_not_thrown_out(app: App, redis_url: str, tmp_path: Path) -> None:
    organization, browser = app.an_organization(), a_password_user()
    app.join(organization, browser)
    run = app.require_second_factor(organization, app.join(organization, a_protected_user()))
    early = Browser(email=browser.email)
    early.sign_in()

    with mail_server(tmp_path) as port, workers(tmp_path, database_url=app.url, redis_url=redis_url, smtp_port=port):
        status = wait_until_done(app, run)

    assert status["sessions_ended"] == 1
    assert (browser.lands_on(), early.lands_on()) == (SIGN_IN, REAUTHENTICATE)
    early.activate_totp()
    assert early.lands_on() == HOME
