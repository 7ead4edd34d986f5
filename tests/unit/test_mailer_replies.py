"""Every row of the table of replies has examples in relays' own words, and each example is decided by its row."""

import pytest

from jobs.ports import Scope, SmtpStage
from workers.mailer.replies import TABLE, accepted, parse, receipt, rule

CONNECT, TLS, AUTH = SmtpStage.CONNECT, SmtpStage.TLS, SmtpStage.AUTH
MAIL, RCPT, DATA, DOT = SmtpStage.MAIL, SmtpStage.RCPT, SmtpStage.DATA, SmtpStage.DOT

EXAMPLES: dict[str, list[tuple[SmtpStage, str]]] = {
    "connection set-up": [
        (CONNECT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        (TLS, "454 4.7.0 TLS not available due to local problem"),
        (AUTH, "535 5.7.8 Error: authentication failed"),
        (AUTH, "535 Authentication Credentials Invalid"),
        (AUTH, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy"),
    ],
    "closing the channel": [
        (MAIL, "421 4.4.2 relay.example Error: timeout exceeded"),
        (RCPT, "421 4.7.0 relay.example Error: too many errors"),
        (DOT, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail"),
        (MAIL, "421 too many messages in this connection"),
        (DATA, "421 4.3.2 Service shutting down"),
    ],
    "too many recipients or messages": [
        (RCPT, "452 4.5.3 Error: too many recipients"),
        (RCPT, "452 4.5.3 Recipients belong to multiple regions ATTR38"),
    ],
    "too many recipients or messages, in words": [
        (RCPT, "452 too many recipients"),
        (MAIL, "450 4.7.1 Error: too many messages from 192.0.2.1"),
    ],
    "throttled or not available": [
        (DOT, "454 Throttling failure: Maximum sending rate exceeded."),
        (DOT, "454 Throttling failure: Daily message quota exceeded."),
        (RCPT, "454 4.7.1 <ada@example.com>: Relay access denied"),
        (MAIL, "454 4.7.0 Temporary authentication failure"),
    ],
    "the group takes no letters from outside": [
        (RCPT, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed"),
        (DOT, "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient"),
    ],
    "authentication wanted": [
        (MAIL, "530 5.7.0 Must issue a STARTTLS command first"),
        (MAIL, "530 Authentication required"),
        (MAIL, "530 5.7.57 Client not authenticated to send mail"),
        (RCPT, "535 5.7.0 authentication required"),
    ],
    "authentication wanted, in words": [
        (MAIL, "503 5.5.4 Error: send AUTH command first, need authentication"),
        (RCPT, "550 Unauthenticated senders not allowed; authentication required"),
        (RCPT, "550 relay not permitted, authenticate first"),
    ],
    "out of step": [
        (RCPT, "503 5.5.1 Error: need MAIL command"),
        (MAIL, "500 5.5.2 Error: bad syntax"),
        (DATA, "503 Bad sequence of commands"),
        (MAIL, "502 5.5.1 Unrecognized command"),
    ],
    "the account's own sending limit": [
        (MAIL, "550 5.4.5 Daily user sending limit exceeded"),
        (DOT, "550 5.4.5 Daily SMTP relay limit exceeded for customer"),
    ],
    "the account's own sending limit, in words": [
        (DOT, "451 You have exceeded your messaging limits"),
        (MAIL, "451 Authentication failed: Maximum credits exceeded"),
        (DOT, "550 Sending quota exceeded for this account"),
    ],
    "the relay has no room": [
        (MAIL, "452 4.3.1 Insufficient system storage"),
        (DOT, "452 4.3.1 Insufficient system resources (UsedDiskSpace[C:])"),
        (DOT, "451 4.3.0 Error: queue file write error"),
        (DOT, "452 space shortage, out of disk space"),
        (RCPT, "452 4.3.1 Out of memory"),
    ],
    "the relay's system": [
        (MAIL, "451 4.3.5 Server configuration problem"),
        (DATA, "451 4.3.0 Temporary system problem. Try again later"),
        (DOT, "451 4.3.2 Please try again later"),
        (DOT, "432 4.3.2 Concurrent connections limit"),
    ],
    "greylisted": [
        (RCPT, "450 4.2.0 <ada@example.com>: Recipient address rejected: Greylisted, see http://postgrey.example"),
        (RCPT, "451 4.7.1 Greylisting in action, please come back later"),
        (DOT, "451 Graylisted, please try again in 300 seconds"),
        (RCPT, "450 4.7.1 come back later"),
    ],
    "letter too large": [
        (MAIL, "552 5.3.4 Message size exceeds fixed limit"),
        (DOT, "552 5.2.3 Message length exceeds administrative limit"),
        (DOT, "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient"),
    ],
    "letter too large, in words": [
        (DOT, "552 Message size exceeds maximum permitted"),
        (MAIL, "552 message too big"),
        (DOT, "554 Error: mail content too large"),
        (DATA, "552 your message exceeds the maximum message size"),
    ],
    "mailbox full": [
        (RCPT, "552 5.2.2 <ada@example.com>: user over quota"),
        (RCPT, "452 4.2.2 The email account that you tried to reach is over quota"),
        (DOT, "554 5.2.2 mailbox full"),
    ],
    "mailbox full, in words": [
        (RCPT, "550 Mailbox is full"),
        (RCPT, "452 Mailbox size limit exceeded"),
        (DOT, "554 delivery error: dd Sorry, your message cannot be delivered. This mailbox is over quota"),
        (RCPT, "552 Requested mail action aborted: quota exceeded"),
    ],
    "sender not authentic": [
        (DOT, "550 5.7.26 This mail has been blocked because the sender is unauthenticated"),
        (RCPT, "550 5.7.23 <ada@example.com>: Recipient address rejected: Message rejected due to: SPF fail"),
    ],
    "sender's address at fault": [
        (RCPT, "450 4.1.8 <x@portcullis.test>: Sender address rejected: Domain not found"),
        (MAIL, "553 5.1.8 Domain of sender address does not exist"),
        (MAIL, "501 5.1.7 Bad sender address syntax"),
        (DOT, "550 5.1.8 Access denied, bad outbound sender"),
    ],
    "sender or client at fault, in words": [
        (RCPT, "553 5.7.1 <x@portcullis.test>: Sender address rejected: not owned by user app"),
        (RCPT, "504 5.5.2 <app>: Helo command rejected: need fully-qualified hostname"),
        (RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        (RCPT, "554 5.7.1 <ada@example.com>: Relay access denied"),
        (RCPT, "550 relay not permitted"),
        (RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
        (RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
        (RCPT, "550 Sender verify failed"),
        (RCPT, "550 5.7.1 Relaying denied"),
        (DOT, "550 Sender rejected"),
    ],
    "policy, in words": [
        (DOT, "554 Message rejected: Email address is not verified."),
        (DOT, "550 5.7.1 Message contains spam or virus"),
        (RCPT, "554 Transaction failed: sender is on a blocklist"),
        (DOT, "550 5.7.509 Access denied, sending domain does not pass DMARC verification"),
        (DOT, "550 High probability of spam"),
        (RCPT, "550 bad reputation"),
    ],
    "no such recipient": [
        (RCPT, "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in virtual mailbox table"),
        (RCPT, "550 5.1.2 Bad destination system address"),
        (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
        (RCPT, "501 5.1.3 Bad recipient address syntax"),
        (RCPT, "550 sorry, no mailbox here by that name (#5.1.1)"),
        (RCPT, "556 5.1.10 Recipient address has null MX"),
        (DOT, "550 5.1.1 The email account that you tried to reach does not exist"),
    ],
    "mailbox disabled": [
        (RCPT, "550 5.2.1 The email account that you tried to reach is disabled"),
        (RCPT, "550 5.2.0 Mailbox unavailable"),
    ],
    "no such recipient, in words": [
        (RCPT, "554 5.7.1 <ada@example.com>: Recipient address rejected: Access denied"),
        (RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
        (RCPT, "550 Unknown user"),
        (RCPT, "550 No Such User Here"),
        (RCPT, "550 Requested action not taken: mailbox unavailable"),
        (DOT, "554 delivery error: dd This user doesn't have a yahoo.com account (ada@yahoo.com) [0]"),
        (RCPT, "550 Invalid recipient ada@example.com"),
        (DOT, "550 User not found"),
    ],
    "domain cannot be reached": [
        (RCPT, "550 5.4.4 Unable to route to domain"),
        (DOT, "554 5.4.6 Hop count exceeded - possible mail loop"),
    ],
    "policy": [
        (MAIL, "550 5.7.1 Command rejected"),
        (RCPT, "550 5.7.0 Local policy violation"),
        (DOT, "554 5.7.1 Message content rejected"),
        (MAIL, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (DOT, "552 5.7.0 This message was blocked because its content presents a potential security issue"),
    ],
    "content": [
        (DOT, "554 5.6.0 Lone CR or LF in body"),
        (DOT, "550 5.6.1 Messages without From: are not accepted"),
        (RCPT, "550 5.6.7 SMTPUTF8 is required"),
    ],
    "mailbox full, by the bare code": [
        (RCPT, "552 Requested mail action aborted: exceeded storage allocation"),
        (DOT, "552 no"),
    ],
    "anything else for ever, at RCPT": [
        (RCPT, "550 no"),
        (RCPT, "551 User not local; please try <forward@example.com>"),
        (RCPT, "553 5.5.4 mailbox name not allowed"),
        (RCPT, "501 Syntax error in parameters or arguments"),
        (RCPT, "555 5.5.2 Syntax error"),
        (RCPT, "554 Transaction failed"),
    ],
    "anything else for ever": [
        (MAIL, "550 no"),
        (MAIL, "555 MAIL FROM/RCPT TO parameters not recognized"),
        (DATA, "554 Transaction failed"),
        (DOT, "554 Transaction failed"),
        (DOT, "550 Administrative prohibition"),
    ],
    "anything else for now, at MAIL": [
        (MAIL, "451 Requested action aborted: local error in processing"),
        (MAIL, "450 4.7.0 slow down"),
    ],
    "anything else for now": [
        (RCPT, "450 Requested mail action not taken: mailbox busy"),
        (RCPT, "451 4.3.0 <ada@example.com>: Temporary lookup failure"),
        (RCPT, "450 4.1.2 <ada@example.com>: Recipient address rejected: Domain not found"),
        (RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly"),
        (DOT, "451 Temporary local problem - please try later"),
        (DOT, "451 4.7.1 Service unavailable - try again later"),
        (DATA, "452 not now"),
    ],
    "no answer of this protocol": [
        (MAIL, "354 go ahead"),
        (RCPT, "334 VXNlcm5hbWU6"),
        (DOT, "354 still waiting"),
    ],
}


def test_every_row_has_an_example_and_a_name_of_its_own() -> None:
    assert [row.name for row in TABLE] == list(EXAMPLES)


@pytest.mark.parametrize(
    ("name", "stage", "line"),
    [(name, stage, line) for name, examples in EXAMPLES.items() for stage, line in examples],
)
def test_an_example_is_decided_by_its_row(name: str, stage: SmtpStage, line: str) -> None:
    assert rule(stage, parse(int(line[:3]), line[4:])).name == name


@pytest.mark.parametrize(
    ("stage", "line", "scope"),
    [
        (RCPT, "550 5.1.1 x", Scope.RECIPIENT),
        (RCPT, "550 5.1.2 x", Scope.RECIPIENT),
        (RCPT, "550 5.2.1 x", Scope.RECIPIENT),
        (RCPT, "450 x", Scope.RECIPIENT_FOR_NOW),
        (RCPT, "451 x", Scope.RECIPIENT_FOR_NOW),
        (RCPT, "552 x", Scope.RECIPIENT_FOR_NOW),
        (RCPT, "550 5.2.2 mailbox full", Scope.RECIPIENT_FOR_NOW),
        (RCPT, "550 5.7.1 x", Scope.MESSAGE),
        (DOT, "550 5.7.26 x", Scope.MESSAGE),
        (DOT, "554 x", Scope.MESSAGE),
        (RCPT, "421 x", Scope.RELAY),
        (DOT, "454 x", Scope.RELAY),
        (AUTH, "535 x", Scope.RELAY),
        (TLS, "454 x", Scope.RELAY),
        (RCPT, "452 4.5.3 x", Scope.RELAY),
        (RCPT, "599 x", Scope.RECIPIENT),
        (MAIL, "599 x", Scope.MESSAGE),
        (DOT, "599 x", Scope.MESSAGE),
        (RCPT, "499 x", Scope.RECIPIENT_FOR_NOW),
    ],
)
def test_the_table_of_letters_md_holds(stage: SmtpStage, line: str, scope: Scope) -> None:
    assert rule(stage, parse(int(line[:3]), line[4:])).scope is scope


@pytest.mark.parametrize("stage", list(SmtpStage))
def test_every_code_at_every_stage_is_somebodys_matter(stage: SmtpStage) -> None:
    scopes = {rule(stage, parse(code, "")).scope for code in range(200, 600)}
    assert scopes <= {Scope.RECIPIENT, Scope.RECIPIENT_FOR_NOW, Scope.MESSAGE, Scope.RELAY}


def test_only_what_concerns_the_relay_is_tried_again_at_once_or_closes() -> None:
    assert all(row.scope is Scope.RELAY for row in TABLE if row.again or row.close)


@pytest.mark.parametrize(
    ("text", "enhanced", "words"),
    [
        (b"5.1.1 no such user\r", "5.1.1", "no such user"),
        (b"no such user\r", None, "no such user"),
        (b"5.1.1 The account\r\n5.1.1 does not exist\r", "5.1.1", "The account does not exist"),
        (b"sorry (#5.7.1)\r", "5.7.1", "sorry (#5.7.1)"),
        (b"5.1.1\r", "5.1.1", ""),
        (b"", None, ""),
        (b"5.1.10: wide\r", "5.1.10", "wide"),
        (b"10.0.0.1 is my address\r", None, "10.0.0.1 is my address"),
        (b"5.1.1.1 is no code\r", None, "5.1.1.1 is no code"),
        ("stra\u00dfe \x1b[31mred\x07".encode(), None, "stra e  [31mred"),
    ],
)
def test_a_text_becomes_a_code_and_one_line(text: bytes, enhanced: str | None, words: str) -> None:
    reply = parse(550, text)
    assert (reply.enhanced, " ".join(reply.text.split())) == (enhanced, " ".join(words.split()))
    assert reply.text.isascii()
    assert reply.text.isprintable()


def test_a_long_text_is_cut_at_200_characters() -> None:
    assert parse(550, b"x" * 5000).text == "x" * 200


@pytest.mark.parametrize(
    ("text", "relay_id"),
    [
        ("2.0.0 Ok: queued as 4Wq1Yz0Jp2z", "4Wq1Yz0Jp2z"),
        ("OK id=1rXyZa-0001Ab-2C", "1rXyZa-0001Ab-2C"),
        ("Ok 0100018c1a2b3c4d-5e6f7a8b-000000", "0100018c1a2b3c4d-5e6f7a8b-000000"),
        ("2.6.0 <1@x.example> [InternalId=123456789, Hostname=A.B] 9 bytes in 0.1 s Queued mail for delivery", "123456789"),
        ("2.0.0 OK  1700000000 d2e1a72fcca58-6c3 - gsmtp", "d2e1a72fcca58-6c3"),
        ("2.0.0 f1a2b3c4 Message accepted for delivery", "f1a2b3c4"),
        ("2.0.0 ok: queued as ABC for delivery", "ABC"),
        ("2.0.0 Ok", None),
        ("OK", None),
        ("", None),
    ],
)
def test_the_relays_own_id_is_read(text: str, relay_id: str | None) -> None:
    taken = accepted(parse(250, text))
    assert (taken.scope, taken.stage, taken.code, taken.relay_id) == (Scope.ACCEPTED, DOT, 250, relay_id)


def test_a_receipt_repeats_the_relays_words() -> None:
    refused = receipt(RCPT, parse(550, "5.1.1 no such user"), Scope.RECIPIENT)
    assert (refused.stage, refused.code, refused.enhanced, refused.text) == (RCPT, 550, "5.1.1", "no such user")
