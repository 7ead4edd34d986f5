"""What a real app's people see from the commit of the switch on, before any worker has run: the gate, and what a sign-in writes down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import psycopg
import pytest
from allauth.account.signals import user_logged_in
from django.test import Client

from tests.django_app.browser import HOME, PASSWORD, REAUTHENTICATE, SET_UP, SIGN_IN, Browser
from tests.django_app.project import App, a_password_user, a_protected_user, a_provider_user, in_background

pytest_plugins = ["tests.django_app.fixtures"]


def required(app: App, *others: Browser) -> int:
    """Switch on in a new organization of `others` and its admin; return its id."""
    organization = app.an_organization()
    for browser in others:
        app.join(organization, browser)
    app.require_second_factor(organization, app.join(organization, a_protected_user()))
    return organization


def data(app: App, browser: Browser) -> dict[str, Any]:
    """Return what the login wrote down about the session of `browser`."""
    (row,) = app.rows("select data from usersessions_usersession where session_key = %s", browser.session_key)
    return dict(row["data"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    reached: Event = field(default_factory=Event)
    over: Event = field(default_factory=Event)

    def __call__(self, **_: object) -> None:
        self.reached.set()
        assert self.over.wait(timeout=10)


@contextmanager
def paused_at_the_end_of_a_login() -> Iterator[Pause]:
    """Hold the next login where everything is written down and nothing is committed."""
    pause = Pause()
    user_logged_in.connect(pause, weak=False)
    try:
        yield pause
    finally:
        pause.over.set()
        user_logged_in.disconnect(pause)


def test_before_the_switch_everybody_is_served(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    app.join(organization, browser)
    assert data(app, browser) == {"started_with": "password", "enrolment_only": False}
    assert browser.lands_on() == HOME


def test_from_the_switch_on_an_open_session_without_a_factor_leads_to_the_set_up(app: App) -> None:
    unprotected, protected, by_provider, stranger = a_password_user(), a_protected_user(), a_provider_user(), a_password_user()
    required(app, unprotected, protected, by_provider)
    assert unprotected.lands_on() == REAUTHENTICATE
    assert [browser.lands_on() for browser in (protected, by_provider, stranger)] == [HOME, HOME, HOME]


def test_an_account_with_both_is_served_where_it_came_by_the_provider(app: App) -> None:
    browser = a_password_user()
    browser.connect_provider()
    by_provider = Browser(email=browser.email)
    by_provider.sign_in_by_provider()
    required(app, browser)
    assert (browser.lands_on(), by_provider.lands_on()) == (REAUTHENTICATE, HOME)


def test_who_signs_in_without_a_factor_may_enrol_and_is_then_let_in(app: App) -> None:
    browser = a_password_user()
    required(app, browser)
    again = Browser(email=browser.email)
    again.sign_in()
    assert data(app, again) == {"started_with": "password", "enrolment_only": True}
    assert again.lands_on() == REAUTHENTICATE
    again.activate_totp()
    assert again.lands_on() == HOME
    assert data(app, again) == {"started_with": "password", "enrolment_only": False}


def test_enrolling_ends_the_other_sessions(app: App) -> None:
    browser = a_password_user()
    thief = Browser(email=browser.email)
    thief.sign_in()
    browser.activate_totp()
    assert (browser.lands_on(), thief.lands_on()) == (HOME, SIGN_IN)


@pytest.mark.parametrize(
    "path",
    [
        HOME,
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/sessions/",
        "/accounts/3rdparty/",
        "/accounts/dummy/login/?process=connect",
        "/accounts/2fa/recovery-codes/",
        "/accounts/2fa/totp/deactivate/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_nothing_but_the_set_up_is_served(app: App, path: str, method: str) -> None:
    browser = a_password_user()
    required(app, browser)
    restricted = Browser(email=browser.email)
    restricted.sign_in()
    answers = [getattr(client, method)(path) for client in (browser.client, restricted.client)]
    assert [(answer.status_code, answer.get("Location")) for answer in answers] == [(302, SET_UP), (302, SET_UP)]


def test_the_set_up_wants_the_password_again_so_a_found_session_can_not_enrol(app: App) -> None:
    browser = a_password_user()
    required(app, browser)
    thief = Client()
    thief.cookies["sessionid"] = browser.session_key
    assert thief.post(SET_UP, {"code": "123456"}).headers["Location"].startswith(REAUTHENTICATE)
    assert thief.post(REAUTHENTICATE, {"password": PASSWORD + "?"}).status_code == 200
    assert app.rows("select from mfa_authenticator a join account_emailaddress e using (user_id) where e.email = %s", browser.email) == []


def test_signing_out_is_always_possible(app: App) -> None:
    browser = a_password_user()
    required(app, browser)
    browser.sign_out()
    assert browser.lands_on() == SIGN_IN


def test_who_drops_the_factor_is_led_to_the_set_up_again(app: App) -> None:
    browser = a_protected_user()
    required(app, browser)
    assert browser.lands_on() == HOME
    browser.deactivate_totp()
    assert browser.lands_on() in {SET_UP, REAUTHENTICATE}


def test_a_lift_frees_a_restricted_session(app: App) -> None:
    browser = a_password_user()
    organization = required(app, browser)
    again = Browser(email=browser.email)
    again.sign_in()
    (admin,) = app.rows("select changed_by from portcullis.policy where organization_id = %s", organization)
    app.rows("select portcullis.lift_second_factor(%s, %s, 'test')", organization, admin["changed_by"])
    assert again.lands_on() == HOME
    assert data(app, again)["enrolment_only"] is False


def test_a_sign_in_that_meets_a_switch_waits_for_it_and_is_restricted(app: App) -> None:
    organization, browser, admin = app.an_organization(), a_password_user(), a_protected_user()
    app.join(organization, browser)
    again = Browser(email=browser.email)
    with psycopg.connect(app.url) as switch:
        switch.execute("select portcullis.require_second_factor(%s, %s, 'test')", [organization, app.join(organization, admin)])
        with in_background(again.sign_in) as signed_in:
            app.wait_until_somebody_waits()
            switch.commit()
    signed_in.result()
    assert data(app, again)["enrolment_only"] is True


def test_a_switch_that_meets_a_sign_in_waits_for_it_and_finds_its_session(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user, admin = app.join(organization, browser), app.join(organization, a_protected_user())
    again = Browser(email=browser.email)
    with paused_at_the_end_of_a_login() as pause, in_background(again.sign_in) as signed_in:
        assert pause.reached.wait(timeout=10)
        with in_background(lambda: app.require_second_factor(organization, admin)) as switched:
            app.wait_until_somebody_waits()
            pause.over.set()
            signed_in.result()
            switched.result()
    sessions = app.rows("select started_with from directory.session where user_id = %s", user)
    assert sessions == [{"started_with": "password"}, {"started_with": "password"}]
    assert again.lands_on() == REAUTHENTICATE
