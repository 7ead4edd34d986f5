"""`tests/django_app/directory.sql`, the example of connecting an app, against accounts and sessions that allauth itself made."""

from typing import Any

import psycopg
import pytest

from tests.django_app.browser import HOME, PASSWORD, SIGN_IN, Browser
from tests.django_app.project import App, a_password_user, a_protected_user, a_provider_user, in_background

pytest_plugins = ["tests.django_app.fixtures"]


def member(app: App, organization: int) -> dict[str, Any]:
    """Return the one member of `organization`, as Portcullis sees them."""
    (row,) = app.rows("select * from directory.member where organization_id = %s", organization)
    return row


def listed(app: App, user: int) -> list[str | None]:
    """Return how the listed sessions of `user` were started, oldest first."""
    rows = app.rows("select started_with from directory.session where user_id = %s order by started_at", user)
    return [row["started_with"] for row in rows]


def end_sessions(app: App, *users: int, keep_sso: bool = True) -> dict[int, int]:
    """Call the function as a worker does; return the sessions ended per user."""
    rows = app.rows("select * from directory.end_sessions(%s, %s, %s)", 1, list(users), keep_sso)
    return {row["user_id"]: row["ended"] for row in rows}


def restrict_to_enrolment(app: App, user: int) -> None:
    app.rows(
        """update usersessions_usersession set data = data || '{"enrolment_only": true}' where user_id = %s returning id""",
        user,
    )


# --- directory.organization and directory.member


def test_an_organization_is_listed_with_its_own_words(app: App) -> None:
    organization = app.an_organization("Café Zürich")
    assert app.rows("select * from directory.organization where organization_id = %s", organization) == [
        {"organization_id": organization, "name": "Café Zürich", "locale": "en", "time_zone": "Europe/Berlin", "support_url": None}
    ]


def test_ids_keep_the_types_of_djangos_tables(app: App) -> None:
    columns = app.rows(
        "select table_name, column_name, data_type from information_schema.columns"
        " where table_schema = 'directory' and column_name in ('user_id', 'organization_id')"
    )
    types = {(column["column_name"], column["data_type"]) for column in columns}
    assert types == {("user_id", "integer"), ("organization_id", "bigint")}


def test_someone_who_signed_up_with_a_password_has_that_and_nothing_else(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser, kind="contractor")
    assert member(app, organization) == {
        "organization_id": organization,
        "user_id": user,
        "email": browser.email,
        "email_verified": True,
        "display_name": None,
        "locale": None,
        "time_zone": None,
        "kind": "contractor",
        "has_password": True,
        "has_sso": False,
        "has_second_factor": False,
        "is_active": True,
    }


def test_a_factor_counts_once_its_first_code_was_right(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    app.join(organization, browser)
    browser.open_set_up()
    assert member(app, organization)["has_second_factor"] is False
    browser.activate_totp()
    assert member(app, organization)["has_second_factor"] is True


def test_a_security_key_counts_as_it_does_for_allauth(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    assert app.rows(
        "insert into mfa_authenticator (user_id, type, data, created_at) values (%s, 'webauthn', '{}', now()) returning id", user
    )
    assert member(app, organization)["has_second_factor"] is True


def test_recovery_codes_alone_are_no_factor(app: App) -> None:
    organization, browser = app.an_organization(), a_protected_user()
    user = app.join(organization, browser)
    assert app.rows("delete from mfa_authenticator where user_id = %s and type = 'totp' returning id", user)
    assert app.rows("select type from mfa_authenticator where user_id = %s", user) == [{"type": "recovery_codes"}]
    assert member(app, organization)["has_second_factor"] is False


def test_who_came_by_the_identity_provider_has_no_password(app: App) -> None:
    organization, browser = app.an_organization(), a_provider_user()
    app.join(organization, browser)
    facts = member(app, organization)
    assert (facts["has_password"], facts["has_sso"], facts["email_verified"]) == (False, True, True)


def test_who_connected_the_identity_provider_has_both(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    browser.connect_provider()
    app.join(organization, browser)
    facts = member(app, organization)
    assert (facts["has_password"], facts["has_sso"]) == (True, True)


@pytest.mark.parametrize(
    ("change", "column", "seen"),
    [
        ("update auth_user set is_active = false where id = %s returning id", "is_active", False),
        ("update auth_user set first_name = 'Ada', last_name = 'Byron' where id = %s returning id", "display_name", "Ada Byron"),
        ("update auth_user set last_name = 'Byron' where id = %s returning id", "display_name", "Byron"),
        ("update account_emailaddress set verified = false where user_id = %s returning id", "email_verified", False),
        ('update account_emailaddress set "primary" = false where user_id = %s returning id', "email", None),
    ],
)
def test_a_change_of_the_account_is_seen(app: App, change: str, column: str, seen: object) -> None:
    organization, browser = app.an_organization(), a_password_user()
    assert app.rows(change, app.join(organization, browser))
    assert member(app, organization)[column] == seen


# --- directory.session


def test_a_session_is_listed_with_how_it_was_started(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    browser.connect_provider()
    user = app.join(organization, browser)
    Browser(email=browser.email).sign_in_by_provider()
    assert listed(app, user) == ["password", "sso"]


def test_asking_for_the_password_again_does_not_change_how_a_session_was_started(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    browser.connect_provider()
    user = app.join(organization, browser)
    browser.sign_out()
    browser.sign_in_by_provider()
    browser.open_set_up()  # asks for the password
    browser.change_password(PASSWORD + "!")  # which also gives the session a new key
    assert listed(app, user) == ["sso"]
    assert browser.lands_on() == HOME


@pytest.mark.parametrize(
    "over",
    [
        "delete from django_session where session_key = %s returning session_key",
        "update django_session set expire_date = now() where session_key = %s returning session_key",
    ],
)
def test_what_is_over_is_not_listed(app: App, over: str) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    assert app.rows(over, browser.session_key)
    assert listed(app, user) == []
    assert end_sessions(app, user) == {}


def test_a_session_that_may_only_enrol_is_neither_listed_nor_ended(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    restrict_to_enrolment(app, user)
    assert listed(app, user) == []
    assert end_sessions(app, user, keep_sso=False) == {}
    assert browser.lands_on() != SIGN_IN


# --- directory.end_sessions


def test_ending_signs_the_clients_out_and_spares_the_one_of_the_identity_provider(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    browser.connect_provider()
    user = app.join(organization, browser)
    phone, by_provider, stranger = Browser(email=browser.email), Browser(email=browser.email), a_password_user()
    phone.sign_in()
    by_provider.sign_in_by_provider()

    assert end_sessions(app, user) == {user: 2}
    assert [browser.lands_on(), phone.lands_on()] == [SIGN_IN, SIGN_IN]
    assert [by_provider.lands_on(), stranger.lands_on()] == [HOME, HOME]
    assert listed(app, user) == ["sso"]


def test_ending_leaves_no_row_behind(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user, key = app.join(organization, browser), browser.session_key
    assert end_sessions(app, user) == {user: 1}
    assert app.rows("select from django_session where session_key = %s", key) == []
    assert app.rows("select from usersessions_usersession where user_id = %s", user) == []


def test_ending_all_ends_the_one_of_the_identity_provider_too(app: App) -> None:
    organization, browser = app.an_organization(), a_provider_user()
    user = app.join(organization, browser)
    assert end_sessions(app, user, keep_sso=False) == {user: 1}
    assert browser.lands_on() == SIGN_IN


def test_a_session_of_unknown_origin_is_ended_as_one_of_a_password(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    assert app.rows("update usersessions_usersession set data = '{}' where user_id = %s returning id", user)
    assert listed(app, user) == [None]
    assert end_sessions(app, user) == {user: 1}


def test_ending_twice_ends_once(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    assert end_sessions(app, user) == {user: 1}
    assert end_sessions(app, user) == {}


def test_ending_is_undone_with_the_callers_transaction(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    with app.database.transaction(force_rollback=True):
        assert end_sessions(app, user) == {user: 1}
    assert browser.lands_on() == HOME


def test_many_members_are_ended_by_one_call(app: App) -> None:
    organization, browsers = app.an_organization(), [a_password_user() for _ in range(5)]
    users = [app.join(organization, browser) for browser in browsers]
    assert end_sessions(app, *users) == dict.fromkeys(users, 1)
    assert {browser.lands_on() for browser in browsers} == {SIGN_IN}


def test_two_runs_that_share_a_member_count_each_session_once(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    with psycopg.connect(app.url) as other_run:
        counted = other_run.execute("select * from directory.end_sessions(1, %s, true)", [[user]]).fetchall()
        with in_background(lambda: end_sessions(app, user)) as run:
            app.wait_until_somebody_waits()
            other_run.commit()
    assert counted == [(user, 1)]
    assert run.result() == {}


def test_a_session_that_is_being_saved_is_ended_all_the_same(app: App) -> None:
    organization, browser = app.an_organization(), a_password_user()
    user = app.join(organization, browser)
    with psycopg.connect(app.url) as request:
        request.execute("update django_session set expire_date = expire_date where session_key = %s", [browser.session_key])
        with in_background(lambda: end_sessions(app, user)) as run:
            app.wait_until_somebody_waits()
            request.commit()
    assert run.result() == {user: 1}
    assert browser.lands_on() == SIGN_IN


# --- at the size of an organization

SEED = """
insert into auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
    select 1000000 + n, 'x', false, 'seeded' || n, '', '', '', false, true, now() from generate_series(1, {members}) n;
insert into organizations_membership (organization_id, user_id, kind)
    select {organization}, 1000000 + n, 'employee' from generate_series(1, {members}) n;
insert into account_emailaddress (email, verified, "primary", user_id)
    select 'seeded' || n || '@example.com', true, true, 1000000 + n from generate_series(1, {members}) n;
insert into mfa_authenticator (type, data, user_id, created_at)
    select 'totp', '{{}}', 1000000 + n, now() from generate_series(1, {members}, 2) n;
insert into socialaccount_socialaccount (provider, uid, last_login, date_joined, extra_data, user_id)
    select 'dummy', 'seeded' || n, now(), now(), '{{}}', 1000000 + n from generate_series(1, {members}, 5) n;
insert into django_session (session_key, session_data, expire_date)
    select md5(n::text), repeat('x', 300), now() + interval '1 day' from generate_series(1, {members}) n;
insert into usersessions_usersession (user_id, created_at, ip, last_seen_at, session_key, user_agent, data)
    select 1000000 + n, now(), '127.0.0.1', now(), md5(n::text), '', '{{"started_with": "password"}}' from generate_series(1, {members}) n;
"""

TABLES = [
    "auth_user",
    "organizations_membership",
    "account_emailaddress",
    "mfa_authenticator",
    "socialaccount_socialaccount",
    "django_session",
    "usersessions_usersession",
]


HOT_STATEMENTS = {
    "gate": "select * from directory.member where organization_id = %(organization)s and user_id = 1000500",
    "plan": "select user_id from directory.member where organization_id = %(organization)s and user_id > 1015000 order by 1 limit 500",
    "batch": "select * from directory.member where organization_id = %(organization)s and user_id between 1000501 and 1000550",
    "sessions": "select * from directory.session where user_id = any (%(users)s)",
    "end": "select * from directory.end_sessions(%(organization)s, %(users)s, true)",
}


def test_no_table_is_read_from_end_to_end(app: App) -> None:
    organization = app.an_organization()
    values = {"organization": organization, "users": list(range(1_000_501, 1_000_551))}
    with psycopg.connect(app.url) as connection:
        connection.execute(SEED.format(organization=organization, members=20_000))
        connection.execute("analyze " + ", ".join(TABLES))
        before = scans(connection)
        found = {name: len(connection.execute(statement, values).fetchall()) for name, statement in HOT_STATEMENTS.items()}
        after = scans(connection)
        connection.rollback()
    assert found == {"gate": 1, "plan": 500, "batch": 50, "sessions": 50, "end": 50}
    assert after == before


def scans(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how often each of the app's tables was read from end to end in this transaction."""
    statement = "select relname, seq_scan from pg_stat_xact_user_tables where relname = any (%s)"
    return dict(connection.execute(statement, [TABLES]).fetchall())
