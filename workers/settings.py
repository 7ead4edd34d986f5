"""Configuration from the environment, checked as a whole.

Every variable of the README's table is a field of `Settings`; a test compares the two. Whoever needs less, such as a command that only
asks the database, loads a part of it. All faults are reported at once, each with the variable's name and what to do. The objects are
frozen and keep secrets out of their `repr`.
"""

import os
import re
import ssl
from collections.abc import Callable, Mapping
from email.utils import parseaddr
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from jobs.keys import KeyRing

WEIGHT = re.compile(r"weight=(\d{1,4})")
BETWEEN_RELAYS = re.compile(r"\s*,\s*(?=[A-Za-z0-9+]*:?/|$)")
"""A comma with a scheme behind it, also one with a typo: a password may have commas of its own."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ConfigurationError(Exception):
    """The environment is not fit to start with. `faults` lists every reason, one line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The configuration has faults:\n" + "\n".join(f"  - {fault}" for fault in faults))


class Security(StrEnum):
    """How a connection to the relay is protected."""

    PLAIN = "plain"
    STARTTLS = "starttls"
    TLS = "tls"


class Relay(BaseModel):
    """Where letters are handed over, from `SMTP_URL`."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    security: Security
    username: str | None = None
    password: SecretStr | None = None
    weight: int = 1
    """Its part of the letters, beside other relays; 0: only while no other one is well."""

    @property
    def name(self) -> str:
        """Host and port: how logs and limits call this relay."""
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://`, `smtps://` or `smtp+starttls://[user:password@]host[:port][?weight=1]`.

        Raises:
            ValueError: With what is wrong; credentials are not repeated.
        """
        parts = _split(url)
        schemes = {"smtp": (Security.PLAIN, 25), "smtps": (Security.TLS, 465), "smtp+starttls": (Security.STARTTLS, 587)}
        if parts.scheme not in schemes:
            raise ValueError(f"the scheme must be one of smtp, smtps, smtp+starttls, not {parts.scheme!r}")
        security, port = schemes[parts.scheme]
        if not parts.hostname:
            raise ValueError("a host is missing")
        weight = WEIGHT.fullmatch(parts.query or "weight=1")
        if parts.path.strip("/") or not weight or parts.fragment:
            raise ValueError("nothing may follow host and port but ?weight= and a whole number")
        if security is Security.PLAIN and parts.username and parts.hostname not in LOOPBACK:
            raise ValueError("a password over plain smtp:// would be readable on the way; use smtp+starttls:// or smtps://")
        return cls(
            host=parts.hostname,
            port=parts.port or port,
            security=security,
            username=unquote(parts.username) if parts.username else None,
            password=SecretStr(unquote(parts.password)) if parts.password else None,
            weight=int(weight[1]),
        )

    @classmethod
    def parse_all(cls, urls: str) -> tuple[Self, ...]:
        """Read one relay or several, comma-separated.

        Raises:
            ValueError: With what is wrong with which of them; credentials are not repeated.
        """
        parts = BETWEEN_RELAYS.split(urls.strip())
        found: list[Self] = []
        for number, url in enumerate(parts, 1):
            try:
                found.append(cls.parse(url))
            except ValueError as error:
                raise ValueError(f"relay {number} of {len(parts)}: {error}" if len(parts) > 1 else str(error)) from None
        names = [relay.name for relay in found]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the same relay is named twice: {', '.join(twice)}")
        return tuple(found)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # PostgreSQL takes several hosts, each with a port
            parts.port  # noqa: B018 -- asked for here, because the complaint repeats what may be half a password
    except ValueError:
        raise ValueError("host and port can't be made out; special characters in user and password must be percent-encoded") from None
    return parts


def _secretly(check: Callable[[str], object]) -> AfterValidator:
    def validate(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return AfterValidator(validate)


def _is_url(*schemes: str) -> AfterValidator:
    def check(value: str) -> None:
        if _split(value).scheme not in schemes:
            raise ValueError(f"must start with one of {', '.join(f'{scheme}://' for scheme in schemes)}")

    return _secretly(check)


def _is_authority(value: str) -> str:
    must = "must be a file with certificates of authorities in PEM form"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except ssl.SSLError:
        raise ValueError(f"{must}: there is none in it") from None
    except OSError as error:
        raise ValueError(f"{must}: {error.strerror}") from None
    return value


def _is_mailbox(value: str) -> str:
    _, address = parseaddr(value)
    local, _, domain = address.rpartition("@")
    if not local or not domain or not address.isascii() or any(c in value for c in "\r\n"):
        raise ValueError("must be an address such as 'Example Security <security@example.com>'")
    return value


def _is_web_url(value: str) -> str:
    parts = _split(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be a web address such as https://app.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https: members are asked to sign in there")
    return value.rstrip("/")


def _fits_letters(word: str) -> AfterValidator:
    """Let the letters judge what they are given to look like; each fault comes by itself."""

    def check(value: str) -> str:
        from jobs.letters.branding import Branding, Unbranded  # noqa: PLC0415 -- templates are for who brands; others start quicker

        try:
            branding = Branding.read({word: value})
        except Unbranded as unfit:
            raise ValueError(*unfit.faults) from None
        if branding.templates:
            from jobs.letters import rehearsal  # noqa: PLC0415 -- as above

            if faults := list(rehearsal.faults(branding)):
                raise ValueError(*faults)
        return value

    return AfterValidator(check)


def _is_bounce_address(value: str) -> str:
    from jobs.letters.return_paths import ReturnPaths  # noqa: PLC0415 -- only who sends or reads needs it; others start quicker

    ReturnPaths.read(value)
    return value


PostgresUrl = Annotated[SecretStr, _is_url("postgresql", "postgres")]
RedisUrl = Annotated[SecretStr, _is_url("redis", "rediss", "unix")]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Environment(BaseModel):
    """What is read from environment variables, each field under its alias."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read `environment`, by default the process's own. An empty variable counts as absent.

        Raises:
            ConfigurationError: With every fault at once.
        """
        given = os.environ if environment is None else environment
        try:
            return cls.model_validate({name: value for name, value in given.items() if value})
        except ValidationError as error:
            raise ConfigurationError([line for fault in error.errors() for line in _sentences(fault)]) from None


class DatabaseSettings(Environment):
    """Where PostgreSQL is."""

    database_url: PostgresUrl = Field(alias="DATABASE_URL")
    database_url_direct: PostgresUrl | None = Field(default=None, alias="DATABASE_URL_DIRECT")

    @property
    def direct_database_url(self) -> str:
        """The URL that must not go through a transaction pooler: `LISTEN` needs a connection of its own."""
        return (self.database_url_direct or self.database_url).get_secret_value()


class RedisSettings(Environment):
    """Where Redis is."""

    redis_url: RedisUrl = Field(alias="REDIS_URL")


class RelaySettings(Environment):
    """Where letters are handed over, and in whose name."""

    smtp_url: Annotated[SecretStr, _secretly(Relay.parse_all)] = Field(alias="SMTP_URL")
    smtp_ca: Annotated[str | None, AfterValidator(_is_authority)] = Field(default=None, alias="PORTCULLIS_SMTP_CA")
    mail_from: Annotated[str, AfterValidator(_is_mailbox)] = Field(alias="MAIL_FROM")

    @property
    def relay(self) -> Relay:
        """The relay behind `SMTP_URL`, the first one of several."""
        return self.relays[0]

    @property
    def relays(self) -> tuple[Relay, ...]:
        """All relays behind `SMTP_URL`, in order."""
        return Relay.parse_all(self.smtp_url.get_secret_value())


class BounceSettings(Environment):
    """Where reports of failed delivery come back to."""

    bounce_address: Annotated[str | None, AfterValidator(_is_bounce_address)] = Field(default=None, alias="PORTCULLIS_BOUNCE_ADDRESS")


class KeySettings(Environment):
    """The key ring."""

    keys: Annotated[SecretStr, _secretly(KeyRing.parse)] = Field(alias="PORTCULLIS_KEYS")

    @property
    def key_ring(self) -> KeyRing:
        """The ring behind `PORTCULLIS_KEYS`."""
        return KeyRing.parse(self.keys.get_secret_value())


class LetterSettings(Environment):
    """What letters look like, and where they lead. Colours: `link=#7a1fa2, button=#7a1fa2`; their names are `jobs.letters.colours`'."""

    app_url: Annotated[str, AfterValidator(_is_web_url)] = Field(alias="APP_URL")

    product_name: Annotated[str | None, _fits_letters("product_name")] = Field(default=None, alias="PORTCULLIS_PRODUCT_NAME")
    logo_text: Annotated[str | None, _fits_letters("logo_text")] = Field(default=None, alias="PORTCULLIS_LOGO_TEXT")
    colours: Annotated[str | None, _fits_letters("colours")] = Field(default=None, alias="PORTCULLIS_COLOURS")
    dark_colours: Annotated[str | None, _fits_letters("dark_colours")] = Field(default=None, alias="PORTCULLIS_DARK_COLOURS")
    support_address: Annotated[str | None, _fits_letters("support_address")] = Field(default=None, alias="PORTCULLIS_SUPPORT_ADDRESS")
    legal_line: Annotated[str | None, _fits_letters("legal_line")] = Field(default=None, alias="PORTCULLIS_LEGAL_LINE")
    templates: Annotated[str | None, _fits_letters("templates")] = Field(default=None, alias="PORTCULLIS_TEMPLATES")
    run_url: Annotated[str | None, AfterValidator(_is_web_url)] = Field(default=None, alias="PORTCULLIS_RUN_URL")
    """Where the report leads; `{run_id}` in it is replaced."""

    @property
    def branding_words(self) -> Mapping[str, str]:
        """What `jobs.letters.Branding.read` makes a branding of."""
        words = ("product_name", "logo_text", "colours", "dark_colours", "support_address", "legal_line", "templates")
        return {word: value for word in words if (value := getattr(self, word)) is not None}


def _is_listening_address(value: str) -> str:
    parts = _split(f"//{value}")
    if not parts.hostname or parts.port is None or parts.path or parts.username is not None:
        raise ValueError("must be host:port, such as 127.0.0.1:8700")
    return value


def _is_origin(value: str) -> str:
    parts = _split(_is_web_url(value))
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must be scheme, host and port only, such as https://console.example.com")
    return value.rstrip("/").lower()


def _are_proxies(value: str) -> str:
    names = [name.strip() for name in value.split(",")]
    for name in names:
        try:
            network = ip_network(name)
        except ValueError:
            raise ValueError("must be addresses or networks, comma-separated, such as 10.0.0.7, 10.1.0.0/24") from None
        if not network.prefixlen:
            raise ValueError("must not trust everybody: anybody could say to be somebody else")
    return ",".join(names)


class ConsoleSettings(Environment):
    """Where the console listens, where people reach it, whose word it takes for who they are, how long they stay signed in."""

    console_address: Annotated[str, AfterValidator(_is_listening_address)] = Field(
        default="127.0.0.1:8700", alias="PORTCULLIS_CONSOLE_ADDRESS"
    )
    console_origin: Annotated[str | None, AfterValidator(_is_origin)] = Field(default=None, alias="PORTCULLIS_CONSOLE_ORIGIN")
    console_proxies: Annotated[str | None, AfterValidator(_are_proxies)] = Field(default=None, alias="PORTCULLIS_CONSOLE_PROXIES")
    console_session_hours: Annotated[float, Field(gt=0, le=24)] = Field(default=8, alias="PORTCULLIS_CONSOLE_SESSION_HOURS")

    @property
    def listens_at(self) -> tuple[str, int]:
        """Host and port to listen at."""
        parts = _split(f"//{self.console_address}")
        return str(parts.hostname), int(parts.port or 0)

    @property
    def reached_at(self) -> str:
        """The origin that browsers name. Plain http only where it goes over no network.

        Raises:
            ConfigurationError: It listens beyond this machine and nobody said where people reach it.
        """
        if self.console_origin:
            return self.console_origin
        host, port = self.listens_at
        if host not in LOOPBACK:
            reason = "PORTCULLIS_CONSOLE_ORIGIN: must be set, with https, where the console listens beyond this machine"
            raise ConfigurationError([reason])
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def trusted_proxies(self) -> str:
        """Who may say on whose behalf a request comes (`X-Forwarded-For`); '': nobody.

        Unless somebody is named, it is what stands on this machine, and that only if something must stand there: we don't speak https.
        """
        if self.console_proxies or self.listens_at[0] not in LOOPBACK or not self.reached_at.startswith("https:"):
            return self.console_proxies or ""
        return "127.0.0.1,::1"


class LogSettings(Environment):
    """How logs are written."""

    log_format: Annotated[str, Field(pattern="^(json|console)$")] = Field(default="json", alias="PORTCULLIS_LOG_FORMAT")


class MetricsSettings(LogSettings, RedisSettings, DatabaseSettings):
    """Where metrics are served, and from when on waiting work means that the system isn't ready."""

    metrics_address: Annotated[str, AfterValidator(_is_listening_address)] = Field(
        default="127.0.0.1:9464", alias="PORTCULLIS_METRICS_ADDRESS"
    )
    ready_backlog_seconds: Annotated[float, Field(gt=0)] = Field(default=300, alias="PORTCULLIS_READY_BACKLOG_SECONDS")

    @property
    def metrics_listens_at(self) -> tuple[str, int]:
        """Host and port to listen at."""
        parts = _split(f"//{self.metrics_address}")
        return str(parts.hostname), int(parts.port or 0)


class Settings(
    MetricsSettings, ConsoleSettings, LetterSettings, KeySettings, BounceSettings, RelaySettings, RedisSettings, DatabaseSettings
):
    """The whole configuration. Rates are letters per second, 0 means off."""

    relay_rate: Rate = Field(default=50, alias="PORTCULLIS_RELAY_RATE")
    organization_rate: Rate = Field(default=0, alias="PORTCULLIS_ORGANIZATION_RATE")
    domain_rate: Rate = Field(default=20, alias="PORTCULLIS_DOMAIN_RATE")
    daily_quota: Count = Field(default=0, alias="PORTCULLIS_DAILY_QUOTA")
    connections: Annotated[int, Field(ge=1, le=500)] = Field(default=16, alias="PORTCULLIS_CONNECTIONS")
    letters_per_connection: Count = Field(default=100, alias="PORTCULLIS_LETTERS_PER_CONNECTION")
    connections_per_minute: Count = Field(default=100, alias="PORTCULLIS_CONNECTIONS_PER_MINUTE")

    breaker_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(default=60, alias="PORTCULLIS_BREAKER_SECONDS")

    retention_days: Count = Field(default=400, alias="PORTCULLIS_RETENTION_DAYS")

    lease_seconds: Annotated[float, Field(ge=1, le=60)] = Field(default=60, alias="PORTCULLIS_LEASE_SECONDS")


def _sentences(fault: Any) -> list[str]:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return [f"{name} is missing; the README's table of settings says what it is for"]
    raised = fault.get("ctx", {}).get("error")
    reasons = raised.args if type(raised) is ValueError else [str(fault["msg"]).removeprefix("Value error, ")]
    return [f"{name}: {reason}" for reason in reasons]
