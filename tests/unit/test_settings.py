"""The configuration: every fault at once and by name, no secret in any text of ours, and parts for who needs less."""

import base64
from collections.abc import Mapping

import pytest

from workers.settings import (
    ConfigurationError,
    DatabaseSettings,
    KeySettings,
    RedisSettings,
    Relay,
    RelaySettings,
    Security,
    Settings,
)

CANARY = "canary-7f3a"
RING = "k1:" + base64.b64encode(bytes(range(32))).decode()
WHOLE = {
    "DATABASE_URL": f"postgresql://app:{CANARY}@db.example.com/app",
    "REDIS_URL": f"rediss://:{CANARY}@redis.example.com/0",
    "SMTP_URL": f"smtp+starttls://mailer:{CANARY}@relay.example.com",
    "MAIL_FROM": "Example Security <security@example.com>",
    "APP_URL": "https://app.example.com/",
    "PORTCULLIS_KEYS": RING,
}


def faults(environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load(environment)
    assert all(fault in str(raised.value) for fault in raised.value.faults)
    return raised.value.faults


def fault(name: str, value: str) -> str:
    """The one fault of an otherwise good configuration."""
    [only] = faults({**WHOLE, name: value})
    assert only.startswith(name)
    return only


def test_a_whole_configuration_is_read_with_its_defaults() -> None:
    settings = Settings.load(WHOLE)
    assert settings.relay == Relay.parse(WHOLE["SMTP_URL"])
    assert settings.app_url == "https://app.example.com"
    assert (settings.relay_rate, settings.organization_rate, settings.domain_rate, settings.daily_quota) == (50, 0, 20, 0)
    assert (settings.connections, settings.letters_per_connection, settings.connections_per_minute) == (16, 100, 100)
    assert [key.id for key in settings.key_ring.keys] == ["k1"]


def test_every_missing_variable_is_named_at_once() -> None:
    named = {line.split()[0] for line in faults({})}
    assert named == set(WHOLE)


def test_missing_and_malformed_are_reported_together() -> None:
    given = {**WHOLE, "APP_URL": "ftp://x", "PORTCULLIS_RELAY_RATE": "-1", "PORTCULLIS_CONNECTIONS": "many"}
    del given["MAIL_FROM"]
    assert sorted(line.split()[0].rstrip(":") for line in faults(given)) == [
        "APP_URL",
        "MAIL_FROM",
        "PORTCULLIS_CONNECTIONS",
        "PORTCULLIS_RELAY_RATE",
    ]


def test_an_empty_variable_counts_as_missing() -> None:
    assert "is missing" in faults({**WHOLE, "REDIS_URL": ""})[0]


def test_what_is_not_ours_is_ignored() -> None:
    assert Settings.load({**WHOLE, "PATH": "/bin", "DATABASE_POOL": "7"}) == Settings.load(WHOLE)


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().mail_from == WHOLE["MAIL_FROM"]


def test_no_secret_is_in_a_repr() -> None:
    settings = Settings.load(WHOLE)
    for text in (repr(settings), str(settings), repr(settings.relay), repr(settings.key_ring), repr(settings.model_dump())):
        assert CANARY not in text
        assert RING.partition(":")[2] not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://app:{CANARY}@db/app"),
        ("DATABASE_URL", f"postgresql://app:{CANARY}/x@db/app"),
        ("REDIS_URL", f"redis://:{CANARY}/x@redis"),
        ("SMTP_URL", f"smtp+starttls://mailer:{CANARY}/x@relay.example.com"),
        ("SMTP_URL", f"smtp://mailer:{CANARY}@relay.example.com"),
        ("SMTP_URL", f"smtps://mailer:{CANARY}@relay.example.com/path"),
        ("PORTCULLIS_KEYS", CANARY),
        ("PORTCULLIS_KEYS", f"k1:{CANARY}"),
        ("PORTCULLIS_KEYS", RING.partition(":")[2]),
    ],
)
def test_no_secret_is_in_a_fault(name: str, value: str) -> None:
    told = fault(name, value)
    assert CANARY not in told
    assert RING.partition(":")[2] not in told


@pytest.mark.parametrize("value", ["mysql://db/app", "db.example.com", "sqlite:///x"])
def test_a_database_is_postgres(value: str) -> None:
    assert "postgresql://" in fault("DATABASE_URL", value)


@pytest.mark.parametrize(
    "value",
    ["postgres://db/app", "postgresql:///app?host=/run/postgresql", "postgresql://db1:5432,db2:5433/app?target_session_attrs=primary"],
)
def test_the_usual_forms_of_a_database_url_will_do(value: str) -> None:
    assert DatabaseSettings.load({"DATABASE_URL": value}).direct_database_url == value


def test_a_direct_url_is_used_where_one_is_given() -> None:
    given = {"DATABASE_URL": "postgresql://pooler/app", "DATABASE_URL_DIRECT": "postgresql://db/app"}
    assert DatabaseSettings.load(given).direct_database_url == "postgresql://db/app"


def test_a_broken_direct_url_is_a_fault() -> None:
    assert "postgresql://" in fault("DATABASE_URL_DIRECT", "db.example.com")


def test_a_mailbox_takes_no_line_break_and_needs_an_address() -> None:
    assert "must be an address" in fault("MAIL_FROM", "Example")
    assert "must be an address" in fault("MAIL_FROM", "a@example.com\r\nBcc: b@example.com")
    assert "must be an address" in fault("MAIL_FROM", "Müller <m@exämple.com>")


def test_the_app_is_reached_by_https_unless_it_is_here() -> None:
    assert "https" in fault("APP_URL", "http://app.example.com")
    assert Settings.load({**WHOLE, "APP_URL": "http://localhost:8000"}).app_url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTCULLIS_RELAY_RATE", "fast"),
        ("PORTCULLIS_ORGANIZATION_RATE", "-0.5"),
        ("PORTCULLIS_DOMAIN_RATE", "nan?"),
        ("PORTCULLIS_DAILY_QUOTA", "1.5"),
        ("PORTCULLIS_CONNECTIONS", "0"),
        ("PORTCULLIS_CONNECTIONS", "501"),
        ("PORTCULLIS_LETTERS_PER_CONNECTION", "-1"),
        ("PORTCULLIS_CONNECTIONS_PER_MINUTE", "-1"),
        ("PORTCULLIS_LOG_FORMAT", "xml"),
    ],
)
def test_numbers_and_words_out_of_range_are_faults(name: str, value: str) -> None:
    assert fault(name, value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1", ("127.0.0.1", 25, Security.PLAIN, None)),
        ("smtps://relay.example.com", ("relay.example.com", 465, Security.TLS, None)),
        ("smtp+starttls://me%40example.com:p%2Fw@relay.example.com", ("relay.example.com", 587, Security.STARTTLS, "me@example.com")),
        ("smtp://u:p@localhost:2525", ("localhost", 2525, Security.PLAIN, "u")),
    ],
)
def test_a_relay_is_read_from_its_url(url: str, expected: tuple[str, int, Security, str | None]) -> None:
    relay = Relay.parse(url)
    assert (relay.host, relay.port, relay.security, relay.username) == expected
    assert relay.name == f"{expected[0]}:{expected[1]}"


def test_credentials_are_decoded() -> None:
    password = Relay.parse("smtps://me:p%2Fw@relay.example.com").password
    assert password is not None
    assert password.get_secret_value() == "p/w"


@pytest.mark.parametrize("url", ["https://relay.example.com", "smtp://", "smtps://relay.example.com/inbox", "smtp://relay.example.com?x=1"])
def test_what_is_no_relay_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"scheme|host|follow"):
        Relay.parse(url)


def test_a_part_asks_for_its_own_variables_only() -> None:
    assert DatabaseSettings.load({"DATABASE_URL": "postgresql://db/app"})
    assert RedisSettings.load({"REDIS_URL": "unix:///run/redis.sock"})
    assert RelaySettings.load({"SMTP_URL": "smtp://127.0.0.1", "MAIL_FROM": "a@example.com"}).relay.port == 25
    assert KeySettings.load({"PORTCULLIS_KEYS": RING}).key_ring.keys[0].id == "k1"
    with pytest.raises(ConfigurationError) as raised:
        DatabaseSettings.load({})
    assert [line.split()[0] for line in raised.value.faults] == ["DATABASE_URL"]
