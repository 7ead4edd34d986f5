"""Our mailer and real mail servers: every letter arrives once, as it was written, whatever extensions there are."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable

import pytest

from jobs.ports import Envelope, Scope
from tests.interop.mail_servers import MailServer, opensmtpd, postfix
from tests.mailer_parts import an_envelope, send, some_envelopes
from workers.mailer import PooledMailer
from workers.mailer.terms import Terms
from workers.settings import Relay

LETTERS = 200
MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE | re.IGNORECASE)


def mailer_for(port: int, *, terms: Terms | None = None, connections: int = 4) -> PooledMailer:
    relay = Relay.parse(f"smtp://127.0.0.1:{port}")
    return PooledMailer(relay, hostname="client.test", terms=terms, connections=connections, connections_per_minute=0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- another program's files
            await asyncio.sleep(0.05)


async def all_arrive(server: MailServer, mailbox: str, domain: str) -> None:
    """Send letters, some with lines that begin with dots, and look at what lies in the mailbox."""
    envelopes = some_envelopes(LETTERS, domain)
    dotted = b"Message-ID: <dots>\r\n\r\n.\r\n..\r\n.a line\r\n" + b"long " * 180 + b"\r\n.\r\n"
    envelopes.append(an_envelope(f"m{LETTERS}@{domain}", content=dotted))
    mailer = mailer_for(server.port)
    try:
        recorder = await send(mailer, envelopes, seconds=30)
    finally:
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: len(envelopes)}
    await until(lambda: len(server.letters(mailbox)) >= len(envelopes))
    found = server.letters(mailbox)
    ids = Counter(match[1].decode() for letter in found if (match := MESSAGE_ID.search(letter)))
    assert ids == {**{envelope.recipient: 1 for envelope in envelopes[:-1]}, "dots": 1}
    [kept] = [letter for letter in found if b"<dots>" in letter]
    assert dotted.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") in kept
    assert all(receipt.relay_id for _, receipt in recorder.receipts)


@pytest.mark.parametrize(
    "discarded", ["", "pipelining", "size", "smtputf8, 8bitmime, dsn", "pipelining, size, smtputf8, enhancedstatuscodes"]
)
async def test_postfix_takes_every_letter_once(discarded: str) -> None:
    with postfix(discarded=discarded) as server:
        await all_arrive(server, "members", "postfix.example")


async def test_opensmtpd_takes_every_letter_once() -> None:
    with opensmtpd() as server:
        await all_arrive(server, "mail", "opensmtpd.example")


async def some_are_refused(server: MailServer, good: str, *bad: str) -> None:
    mailer = mailer_for(server.port)
    envelopes = [*some_envelopes(30, good), *map(an_envelope, bad), *[an_envelope(f"m{number}@{good}") for number in range(30, 60)]]
    try:
        recorder = await send(mailer, envelopes, seconds=30)
    finally:
        await mailer.aclose()
    refused = {envelope.recipient for envelope, receipt in recorder.receipts if receipt.scope is Scope.RECIPIENT}
    assert refused == set(bad)
    assert recorder.scopes()[Scope.ACCEPTED] == 60


@pytest.mark.parametrize("discarded", ["", "pipelining"])
async def test_postfix_refuses_whom_it_does_not_know_and_nobody_else_is_touched(discarded: str) -> None:
    with postfix(discarded=discarded) as server:
        await some_are_refused(server, "postfix.example", "nobody@postfix.example", "no.one@mail.example.com")


async def test_opensmtpd_refuses_whom_it_does_not_know_and_nobody_else_is_touched() -> None:
    with opensmtpd() as server:
        await some_are_refused(server, "opensmtpd.example", "ada@elsewhere.example", "bob@elsewhere.example")


def a_large(recipient: str, octets: int) -> Envelope:
    return an_envelope(recipient, content=b"Message-ID: <large>\r\n\r\n" + (b"x" * 76 + b"\r\n") * (octets // 78))


async def test_a_letter_that_is_larger_than_announced_is_not_even_begun() -> None:
    with opensmtpd(largest="20K") as server:
        mailer = mailer_for(server.port)
        small = some_envelopes(5, "opensmtpd.example")
        recorder = await send(mailer, [a_large("big@opensmtpd.example", 50_000), *small])
        await mailer.aclose()
        assert recorder.of("big@opensmtpd.example").scope is Scope.MESSAGE
        assert "the relay takes 20480: not sent" in recorder.of("big@opensmtpd.example").text
        assert recorder.scopes()[Scope.ACCEPTED] == 5
        assert "big@" not in server.log.read_text()
