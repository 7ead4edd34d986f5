"""The configuration: every fault at once and by name, no secret in any text of ours, and parts for who needs less."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from jobs.domain.letters import LetterKind
from jobs.letters.samples import write_sample
from workers.runtime import compose_for
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


BRANDED = {
    "PORTCULLIS_PRODUCT_NAME": "Sesame",
    "PORTCULLIS_LOGO_TEXT": "SESAME",
    "PORTCULLIS_COLOURS": "link=#7a1fa2, button=#7a1fa2",
    "PORTCULLIS_DARK_COLOURS": "link=#d6a8ff",
    "PORTCULLIS_SUPPORT_ADDRESS": "help@sesame.example",
    "PORTCULLIS_LEGAL_LINE": "Sesame GmbH, HRB 1",
}


def test_what_letters_look_like_is_read_from_the_environment(tmp_path: Path) -> None:
    environment = {**WHOLE, **BRANDED, "PORTCULLIS_TEMPLATES": str(tmp_path), "PORTCULLIS_RUN_URL": "https://ops.example.com/runs/{run_id}"}
    settings = Settings.load(environment)
    composer = compose_for(settings)
    said = {kind: write_sample(composer, kind, "en").content.decode().replace("=\r\n", "") for kind in LetterKind}
    for told in ("SESAME", "open Sesame the way you always do", "#7a1fa2", "#d6a8ff", "help@sesame.example", "Sesame GmbH, HRB 1"):
        assert told in said[LetterKind.SIGNED_OUT]
    assert "https://ops.example.com/runs/42" in said[LetterKind.REPORT]


def test_without_branding_letters_are_ours() -> None:
    assert Settings.load(WHOLE).branding_words == {}
    assert "app.example.com" in write_sample(compose_for(Settings.load(WHOLE)), LetterKind.PROTECTED, "en").content.decode()


def test_every_fault_of_what_letters_look_like_comes_at_once_under_its_variable(tmp_path: Path) -> None:
    (tmp_path / "protected").mkdir()
    (tmp_path / "protected" / "subject.txt").write_text("{{ orgnization }} {{ nmae }}")
    (tmp_path / "locales").mkdir()
    (tmp_path / "locales" / "de.po").write_text('msgid "x')
    given = {
        **WHOLE,
        "PORTCULLIS_RELAY_RATE": "-1",
        "PORTCULLIS_PRODUCT_NAME": "\u200b",
        "PORTCULLIS_LOGO_TEXT": "x" * 61,
        "PORTCULLIS_COLOURS": "link=#99bbff, buton=#000000",
        "PORTCULLIS_DARK_COLOURS": "link=#333333",
        "PORTCULLIS_SUPPORT_ADDRESS": "help",
        "PORTCULLIS_LEGAL_LINE": "two\nlines",
        "PORTCULLIS_TEMPLATES": str(tmp_path),
    }
    told = faults(given)
    for name in (*BRANDED, "PORTCULLIS_TEMPLATES", "PORTCULLIS_RELAY_RATE"):
        assert any(line.startswith(f"{name}: ") for line in told), name
    assert "'buton' is none of button, card, line, link, on_button, page, quiet, text" in "\n".join(told)
    for part in ("orgnization is not a variable", "nmae is not a variable", "is no usable catalogue"):
        assert len([line for line in told if line.startswith("PORTCULLIS_TEMPLATES: templates: ") and part in line]) == 1


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORTCULLIS_COLOURS", "button=#ff9900", "on_button #ffffff on button #ff9900 has a contrast of 2.14"),
        ("PORTCULLIS_COLOURS", "button=orange", "button must be a colour such as #1c54c4"),
        ("PORTCULLIS_TEMPLATES", "/nowhere/at/all", "is not a folder"),
        ("PORTCULLIS_RUN_URL", "ops.example.com", "must be a web address"),
    ],
)
def test_a_look_that_does_not_hold_is_refused(name: str, value: str, said: str) -> None:
    assert said in fault(name, value)


def test_templates_are_rehearsed_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "lifted").mkdir()
    (tmp_path / "lifted" / "body.html").write_text("{{ colours.pgae }}")
    assert "lifted: no letter can be written" in fault("PORTCULLIS_TEMPLATES", str(tmp_path))


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
