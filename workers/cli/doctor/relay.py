"""The relay: TCP, TLS, greeting, password, capabilities; by the mailer's own connecting. It sends no letter."""

import asyncio
from email.utils import parseaddr

from jobs.ports import SmtpStage
from workers.cli.doctor.findings import Finding, fault, ok, warning
from workers.mailer.connection import NotConnectedError, Opened, local_hostname, open_connection, tls_context
from workers.settings import LOOPBACK, Relay, RelaySettings, Security

SECONDS = 15.0

TO_DO = {
    SmtpStage.CONNECT: "Correct host and port in SMTP_URL, or let this host through the firewall; ask whoever runs the relay.",
    SmtpStage.TLS: "Use the name that is in the relay's certificate. smtps:// begins with TLS (465), smtp+starttls:// switches to it (587)."
    " A certificate authority of your own goes into PORTCULLIS_SMTP_CA.",
    SmtpStage.AUTH: "Correct user and password in SMTP_URL, special characters percent-encoded.",
}
WAYS = {Security.PLAIN: "not encrypted", Security.STARTTLS: "by STARTTLS", Security.TLS: "by TLS"}


async def check(settings: RelaySettings) -> list[Finding]:
    """Connect to each relay, greet, authenticate, and hang up."""
    found = await asyncio.gather(*(_check(settings, relay) for relay in settings.relays))
    return [finding for findings in found for finding in findings]


async def _check(settings: RelaySettings, relay: Relay) -> list[Finding]:
    hostname = local_hostname(parseaddr(settings.mail_from)[1].rpartition("@")[2])
    try:
        opened = await open_connection(relay, tls=tls_context(settings.smtp_ca), hostname=hostname, seconds=SECONDS)
    except NotConnectedError as error:
        receipt = error.receipt
        said = " ".join(str(part) for part in (receipt.code, receipt.enhanced, receipt.text) if part)
        return [fault(f"{relay.name} fails at {receipt.stage}: {said}", TO_DO.get(receipt.stage, TO_DO[SmtpStage.CONNECT]))]
    _hang_up(opened)
    return [ok(_description(relay, opened)), *_way(relay)]


def _hang_up(opened: Opened) -> None:
    opened.transport.write(b"QUIT\r\n")
    opened.transport.close()


def _description(relay: Relay, opened: Opened) -> str:
    able = opened.able
    words = [
        "pipelining" if able.pipelining else "no pipelining, so each letter takes more round trips",
        f"letters up to {able.largest:,} bytes" if able.largest else "",
        f"{able.letters:,} letters a connection" if able.letters else "",
    ]
    who = f"as {relay.username}" if relay.username else "without a password"
    return f"{relay.name} takes us {WAYS[relay.security]}, {who}: {', '.join(word for word in words if word)}"


def _way(relay: Relay) -> list[Finding]:
    if relay.security is Security.PLAIN and relay.host not in LOOPBACK:
        return [warning("letters go to the relay in the clear", "Use smtp+starttls:// or smtps://, unless the network between is yours.")]
    return []
