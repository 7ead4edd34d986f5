"""TLS and AUTH: what is not verified gets no letter and no password. Conversations with the scripted relay and with aiosmtpd."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.ports import Receipt, Scope, SmtpStage
from tests.mailer_parts import a_mailer, an_envelope, send, some_envelopes
from tests.relay import Relay, Rule, Stage
from workers.mailer import Fleet
from workers.mailer.connection import local_hostname, tls_context
from workers.mailer.pool import PooledMailer
from workers.settings import ConfigurationError, RelaySettings, Settings
from workers.settings import Relay as RelayAddress

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate on disk, as a server and as an authority."""

    path: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path)
        return context

    def trusted(self) -> ssl.SSLContext:
        return tls_context(str(self.path))


def a_certificate(folder: Path, *, address: str = "127.0.0.1", until: dt.datetime = NOW + DAY) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "relay.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return Certificate(path)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return a_certificate(tmp_path)


@pytest.fixture(params=["smtps", "smtp+starttls"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("pipelining", [True, False])
async def test_letters_leave_over_verified_tls(certificate: Certificate, scheme: str, *, pipelining: bool) -> None:
    tls = certificate.server()
    async with Relay(tls=tls, starttls=scheme == "smtp+starttls", pipelining=pipelining) as relay:
        mailer = a_mailer(relay, scheme=scheme, tls=certificate.trusted())
        recorder = await send(mailer, some_envelopes(40))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 40}
    assert set(relay.recipients().values()) == {1}


async def _is_refused(relay: Relay, scheme: str, tls: ssl.SSLContext) -> Receipt:
    mailer = a_mailer(relay, scheme=scheme, tls=tls)
    recorder = await send(mailer, some_envelopes(3))
    assert recorder.scopes() == {Scope.RELAY: 3}
    assert mailer.retry_in_seconds > 0
    assert not {"MAIL", "RCPT", "DATA", "AUTH"} & set(relay.verbs())
    await mailer.aclose()
    return recorder.of("m0@example.com")


async def test_a_self_signed_certificate_gets_nothing(certificate: Certificate, scheme: str) -> None:
    async with Relay(tls=certificate.server(), starttls=scheme == "smtp+starttls") as relay:
        receipt = await _is_refused(relay, scheme, tls_context())
    assert receipt.stage is SmtpStage.TLS
    assert "self-signed certificate" in receipt.text


async def test_another_hosts_certificate_gets_nothing(tmp_path: Path, scheme: str) -> None:
    certificate = a_certificate(tmp_path, address="127.0.0.2")
    async with Relay(tls=certificate.server(), starttls=scheme == "smtp+starttls") as relay:
        receipt = await _is_refused(relay, scheme, certificate.trusted())
    assert receipt.stage is SmtpStage.TLS
    assert "IP address mismatch" in receipt.text


async def test_an_expired_certificate_gets_nothing(tmp_path: Path, scheme: str) -> None:
    certificate = a_certificate(tmp_path, until=NOW - DAY)
    async with Relay(tls=certificate.server(), starttls=scheme == "smtp+starttls") as relay:
        receipt = await _is_refused(relay, scheme, certificate.trusted())
    assert receipt.stage is SmtpStage.TLS
    assert "expired" in receipt.text


@pytest.mark.survives("SMTP: wrong password, no STARTTLS, bad certificate", "I4")
async def test_a_missing_starttls_gets_nothing(certificate: Certificate) -> None:
    async with Relay() as relay:
        receipt = await _is_refused(relay, "smtp+starttls", certificate.trusted())
    assert receipt.stage is SmtpStage.TLS
    assert "STARTTLS" in receipt.text


async def test_a_refused_starttls_gets_nothing(certificate: Certificate) -> None:
    async with Relay([Rule(stage=Stage.TLS, reply="454 4.7.0 not available")], tls=certificate.server(), starttls=True) as relay:
        receipt = await _is_refused(relay, "smtp+starttls", certificate.trusted())
    assert (receipt.stage, receipt.code, receipt.enhanced) == (SmtpStage.TLS, 454, "4.7.0")


async def test_plain_smtp_stays_plain_though_starttls_is_offered(certificate: Certificate) -> None:
    """`smtp://` says so in so many words; whoever wants TLS writes it."""
    async with Relay(tls=certificate.server(), starttls=True) as relay:
        mailer = a_mailer(relay, tls=certificate.trusted())
        recorder = await send(mailer, some_envelopes(2))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 2}
    assert "STARTTLS" not in relay.verbs()


class Mailbox(Message):
    """aiosmtpd's handler that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's name
        self.kept.append(envelope)
        return "250 2.0.0 OK"

    def handle_message(self, message: object) -> None: ...


class Authenticator:
    """Knows one password; remembers by which mechanism it was told."""

    def __init__(self) -> None:
        self.mechanisms: list[str] = []

    def __call__(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: Any) -> AuthResult:
        self.mechanisms.append(mechanism)
        good = isinstance(auth_data, LoginPassword) and auth_data.login == b"portcullis" and auth_data.password == b"p@ss:word"
        return AuthResult(success=good, handled=False)


@dataclass
class Aiosmtpd:
    """aiosmtpd with STARTTLS and AUTH, in its own thread."""

    mailbox: Mailbox
    authenticator: Authenticator
    controller: Controller

    def mailer(self, tls: ssl.SSLContext, user: str = "portcullis:p%40ss%3Aword@") -> PooledMailer:
        address = RelayAddress.parse(f"smtp+starttls://{user}127.0.0.1:{self.controller.port}")
        return PooledMailer(address, hostname="client.test", tls=tls)


@pytest.fixture(params=[(), ("PLAIN",)], ids=["PLAIN", "LOGIN"])
def aiosmtpd(request: pytest.FixtureRequest, certificate: Certificate, unused_tcp_port: int) -> Iterator[Aiosmtpd]:
    mailbox, authenticator = Mailbox(), Authenticator()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=unused_tcp_port,
        tls_context=certificate.server(),
        require_starttls=True,
        authenticator=authenticator,
        auth_required=True,
        auth_exclude_mechanism=request.param,
    )
    controller.start()
    try:
        yield Aiosmtpd(mailbox, authenticator, controller)
    finally:
        controller.stop()


async def test_a_password_is_told_over_tls_by_plain_or_login(aiosmtpd: Aiosmtpd, certificate: Certificate, request: Any) -> None:
    mailer = aiosmtpd.mailer(certificate.trusted())
    recorder = await send(mailer, [an_envelope(), an_envelope("bob@example.com", content=b".dot first\r\n\r\n.\r\nend\r\n")])
    await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 2}
    assert aiosmtpd.authenticator.mechanisms == [request.node.callspec.id]
    assert [envelope.rcpt_tos for envelope in aiosmtpd.mailbox.kept] == [["ada@example.com"], ["bob@example.com"]]
    assert aiosmtpd.mailbox.kept[1].content == b".dot first\r\n\r\n.\r\nend\r\n"


@pytest.mark.survives("SMTP: wrong password, no STARTTLS, bad certificate", "I4 I6 I10")
async def test_a_wrong_password_is_tried_once_and_opens_the_breaker(aiosmtpd: Aiosmtpd, certificate: Certificate) -> None:
    mailer = aiosmtpd.mailer(certificate.trusted(), user="portcullis:wrong@")
    recorder = await send(mailer, some_envelopes(3))
    await mailer.aclose()
    receipt = recorder.of("m0@example.com")
    assert (receipt.scope, receipt.stage, receipt.code) == (Scope.RELAY, SmtpStage.AUTH, 535)
    assert "wrong" not in receipt.text
    assert len(aiosmtpd.authenticator.mechanisms) == 1
    assert mailer.retry_in_seconds > 9
    assert not aiosmtpd.mailbox.kept


async def test_a_relay_without_auth_gets_no_letter_of_a_configured_user(certificate: Certificate) -> None:
    async with Relay(tls=certificate.server()) as relay:
        address = RelayAddress.parse(f"smtps://portcullis:secret@127.0.0.1:{relay.port}")
        mailer = PooledMailer(address, hostname="client.test", tls=certificate.trusted())
        recorder = await send(mailer, some_envelopes(2))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.RELAY: 2}
    assert recorder.of("m0@example.com").stage is SmtpStage.AUTH
    assert relay.verbs() == ["EHLO"]


async def test_a_cancelled_connection_attempt_leaves_no_connection(certificate: Certificate) -> None:
    async with Relay(delay_seconds=0.2, tls=certificate.server()) as relay:
        mailer = a_mailer(relay, scheme="smtps", tls=certificate.trusted())
        await send(mailer, [an_envelope()], seconds=0.1)
        await mailer.aclose()
        await asyncio.sleep(0.3)
        assert relay.open_now == 0
        assert not relay.accepted


def settings_with(relay: Relay, scheme: str, authority: Path | None) -> Settings:
    return Settings.load(
        {
            "DATABASE_URL": "postgresql://x",
            "REDIS_URL": "redis://x",
            "SMTP_URL": f"{scheme}://127.0.0.1:{relay.port}",
            "MAIL_FROM": "Security <security@portcullis.test>",
            "APP_URL": "https://app.test",
            "PORTCULLIS_KEYS": "k1:" + "A" * 43 + "=",
            "PORTCULLIS_SMTP_CA": str(authority or ""),
        }
    )


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_an_authority_of_ones_own_is_trusted_by_a_setting_and_not_without_it(
    certificate: Certificate, scheme: str, *, is_trusted: bool
) -> None:
    async with Relay(tls=certificate.server(), starttls=scheme == "smtp+starttls") as relay:
        mailer = Fleet.from_settings(settings_with(relay, scheme, certificate.path if is_trusted else None))
        recorder = await send(mailer, some_envelopes(3))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED if is_trusted else Scope.RELAY: 3}
    assert bool(relay.accepted) is is_trusted


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("no certificate", "there is none in it")], ids=["none", "text"])
def test_an_authority_that_is_none_is_a_clear_error(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as refused:
        RelaySettings.load({"SMTP_URL": "smtps://a.example", "MAIL_FROM": "a@b.example", "PORTCULLIS_SMTP_CA": str(file)})
    (fault,) = refused.value.faults
    assert fault.startswith("PORTCULLIS_SMTP_CA: must be a file with certificates")
    assert reason in fault


def test_the_name_for_ehlo_is_a_whole_one() -> None:
    assert "." in local_hostname("portcullis.test")


def test_tls_is_verified_and_modern() -> None:
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
