"""Open a connection to the relay: TCP, TLS, EHLO, AUTH; aiosmtplib does these, step by step so that a failure knows its stage.

TLS is what `SMTP_URL` says, never what the relay offers: without STARTTLS, or with a certificate that does not verify, nothing is
sent. One password attempt a connection, by the strongest of PLAIN and LOGIN over TLS that the relay has.
"""

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from jobs.ports import Receipt, Scope, SmtpStage
from workers.mailer import replies
from workers.mailer.terms import Capabilities
from workers.settings import Relay, Security

HOST_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
MAILMAX = re.compile(r"\bMAILMAX=(\d+)", re.IGNORECASE)


class NotConnectedError(Exception):
    """The relay could not be reached, or not on our terms. `receipt` is what every letter that waited for it gets."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        super().__init__(f"no connection to the relay at {receipt.stage}: {receipt.text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A transport after EHLO and AUTH, for somebody to take over before the loop turns."""

    transport: asyncio.Transport
    able: Capabilities


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return the one context of all connections: certificate and host name verified, TLS 1.2 or newer.

    Trusts the system's authorities, or `SSL_CERT_FILE`'s, and those of `ca_file` (PEM) besides.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


def local_hostname(sender_domain: str) -> str:
    """Return the name for EHLO: this host's, where it is a whole one, else the sender's domain. No DNS is asked."""
    name = socket.gethostname()
    return name if HOST_NAME.fullmatch(name) else sender_domain


async def open_connection(relay: Relay, *, tls: ssl.SSLContext | None, hostname: str, seconds: float) -> Opened:
    """Connect, secure, greet and authenticate within `seconds`.

    Raises:
        NotConnectedError: With the stage and the relay's words. The connection is closed and no letter was begun.
    """
    attempt = _Attempt(relay, tls, hostname)
    try:
        async with asyncio.timeout(seconds):
            return await attempt.run()
    except TimeoutError:
        raise NotConnectedError(_failure(attempt.stage, f"no connection within {seconds:g} s")) from None
    except aiosmtplib.SMTPResponseException as error:
        reply = replies.parse(error.code, error.message)
        raise NotConnectedError(replies.receipt(attempt.stage, reply, Scope.RELAY)) from error
    except Exception as error:
        stage = SmtpStage.TLS if isinstance(error.__cause__, ssl.SSLError) else attempt.stage
        raise NotConnectedError(_failure(stage, str(error) or type(error).__name__)) from error
    finally:
        attempt.close_unless_open()


def _failure(stage: SmtpStage, text: str) -> Receipt:
    return Receipt(scope=Scope.RELAY, stage=stage, text=replies.one_line(text))


class _Attempt:
    """One try; `stage` says how far it has come."""

    def __init__(self, relay: Relay, tls: ssl.SSLContext | None, hostname: str) -> None:
        self.stage = SmtpStage.CONNECT
        self._relay = relay
        self._opened = False
        self._client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=hostname,
            use_tls=relay.security is Security.TLS,
            start_tls=False,  # never by what is offered; run() does it where it is asked for
            tls_context=tls,
            timeout=None,
        )

    async def run(self) -> Opened:
        await self._client.connect()
        if self._relay.security is Security.STARTTLS:
            self.stage = SmtpStage.TLS
            await self._client.starttls()
        self.stage = SmtpStage.CONNECT
        await self._greet()
        if self._relay.username is not None:
            self.stage = SmtpStage.AUTH
            await self._authenticate(self._relay.username)
        return self._hand_over()

    async def _greet(self) -> None:
        try:
            await self._client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await self._client.helo()

    async def _authenticate(self, username: str) -> None:
        password = self._relay.password.get_secret_value() if self._relay.password else ""
        offered = self._client.server_auth_methods
        if "plain" in offered:
            await self._client.auth_plain(username, password)
        elif "login" in offered:
            await self._client.auth_login(username, password)
        elif "cram-md5" in offered:
            await self._client.auth_crammd5(username, password)
        else:
            raise aiosmtplib.SMTPException("the relay offers none of AUTH PLAIN, LOGIN and CRAM-MD5, and a password is configured")

    def _hand_over(self) -> Opened:
        transport = self._client.transport
        if transport is None or transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("the relay closed the connection")
        self._opened = True
        return Opened(transport=cast("asyncio.Transport", transport), able=_capabilities(self._client.esmtp_extensions))

    def close_unless_open(self) -> None:
        """Close at once: a TLS goodbye would wait for a relay that we have just given up."""
        if self._opened:
            return
        transport = self._client.transport
        self._client.close()
        if transport is not None:
            cast("asyncio.Transport", transport).abort()


def _capabilities(extensions: dict[str, str]) -> Capabilities:
    size, limits = extensions.get("size", ""), MAILMAX.search(extensions.get("limits", ""))
    return Capabilities(
        pipelining="pipelining" in extensions,
        size="size" in extensions,
        largest=int(size) if size.isdigit() else 0,
        letters=int(limits[1]) if limits else 0,
    )
