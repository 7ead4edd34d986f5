"""What a message says, whoever wrote it: reports, other mail, garbage, and giants."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bounces.report import LONGEST_READ, Unusable, Uselessness, read_report
from tests.bounce_parts import a_report

VERP = "bounces+n1-i20123456789abcd@mail.example.com"

LETTER = (
    b"Message-ID: <k1.0123456789abcdef0123456789abcdef@x.example>\r\nFeedback-ID: signed_out:7:portcullis\r\n"
    b"To: Ada <a@x.example>\r\n\r\nHi"
)


def refused(octets: bytes) -> Uselessness:
    with pytest.raises(Unusable) as refusal:
        read_report(octets)
    return refusal.value.reason


def test_a_report_says_what_happened_to_which_letter() -> None:
    report = read_report(a_report(LETTER, came_to=VERP))
    assert (report.action, report.status, report.words) == ("failed", "5.1.1", "550 5.1.1 user unknown")
    assert report.came_to == (VERP,)
    assert report.recipients == ("ada@example.com", "a@x.example")
    assert report.quoted.message_id == "<k1.0123456789abcdef0123456789abcdef@x.example>"
    assert report.quoted.feedback_id == "signed_out:7:portcullis"


def test_the_words_never_hold_an_address_and_are_one_short_line() -> None:
    report = read_report(a_report(diagnosis="smtp; 550 <ada@example.com> \x1b[2J\n said ada@example.com: " + "no " * 100))
    assert "@" not in report.words
    assert report.words.isprintable()
    assert len(report.words) <= 120


def test_where_it_came_to_is_known_from_the_envelope_first() -> None:
    trace = b"X-Original-To: %b\nDelivered-To: local@mail.example.com\n" % VERP.encode()
    assert read_report(trace + a_report(), came_to="pipe@mail.example.com").came_to == (
        *("pipe@mail.example.com", VERP, "local@mail.example.com"),
        "security@northwind.example",
    )


@pytest.mark.parametrize(
    ("stated", "diagnosis", "status"),
    [
        ("5.1.1 (bad destination)", "", "5.1.1"),
        ("", "smtp; 550 5.2.1 mailbox disabled", "5.2.1"),
        ("unheard of", "smtp; 554 no", "5.0.0"),
        ("", "", ""),
        ("5.1", "", ""),
    ],
)
def test_a_code_that_is_missing_is_looked_for_in_the_words(stated: str, diagnosis: str, status: str) -> None:
    assert read_report(a_report(status=stated, diagnosis=diagnosis)).status == status


def test_the_recipient_that_failed_counts_among_several() -> None:
    both = a_report(action="delayed").replace(
        b"\nFinal-Recipient", b"\nFinal-Recipient: rfc822; b@x\nAction: relayed\n\nFinal-Recipient", 1
    )
    assert read_report(both.replace(b"Action: delayed", b"Action: failed")).action == "failed"


def test_wording_that_is_no_report_is_known_by_flufl() -> None:
    qmail = (
        b"From: MAILER-DAEMON@mx.example.com\nTo: " + VERP.encode() + b"\nSubject: failure notice\n\n"
        b"Hi. This is the qmail-send program at mx.example.com.\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        b"<ada@example.com>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n"
    )
    report = read_report(qmail)
    assert (report.action, report.status, report.recipients) == ("failed", "5.0.0", ("ada@example.com",))


def a_message(*lines: str, body: str = "Hello") -> bytes:
    return "\n".join([*lines, "", body]).encode()


OUT_OF_OFFICE = a_message(
    "From: ada@example.com", f"To: {VERP}", "Subject: Out of office", "Auto-Submitted: auto-replied", body="Back on Monday."
)
LOOP = a_message(*["Received: from a by b"] * 51, "Subject: round and round")
OUR_OWN = a_message("Feedback-ID: signed_out:7:portcullis", "Subject: Two-factor authentication is now required")
RECEIPT = a_message('Content-Type: multipart/report; report-type=disposition-notification; boundary="x"', body="--x\n\nread\n--x--")
COMPLAINT = a_message('Content-Type: multipart/report; report-type=feedback-report; boundary="x"', body="--x\n\nspam\n--x--")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (OUT_OF_OFFICE, Uselessness.AUTO_REPLY),
        (a_message("Precedence: bulk", "From: list@example.com"), Uselessness.AUTO_REPLY),
        (LOOP, Uselessness.MAIL_LOOP),
        (OUR_OWN, Uselessness.MAIL_LOOP),
        (RECEIPT, Uselessness.READ_RECEIPT),
        (COMPLAINT, Uselessness.COMPLAINT),
        (a_message("From: ada@example.com", "Subject: What is this?"), Uselessness.NO_REPORT),
        (b"", Uselessness.NO_REPORT),
        (b"\0" * 1000, Uselessness.NO_REPORT),
        (bytes(range(256)) * 50, Uselessness.NO_REPORT),
        (a_message('Content-Type: multipart/report; report-type=delivery-status; boundary="x"'), Uselessness.NO_REPORT),
    ],
    ids=["out of office", "bulk", "loop", "our own", "read receipt", "complaint", "a person", "empty", "zeros", "every octet", "no parts"],
)
def test_what_is_no_report_is_passed_over_with_a_reason(octets: bytes, reason: Uselessness) -> None:
    assert refused(octets) is reason


def test_boxes_within_boxes_are_not_opened_for_ever() -> None:
    nested = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (depth, depth) for depth in range(4000))
    assert refused(nested) in (Uselessness.UNREADABLE, Uselessness.NO_REPORT)


def test_a_giant_is_read_as_far_as_its_report_and_no_further() -> None:
    report = a_report(LETTER, came_to=VERP)
    assert read_report(report + b"x" * 50_000_000).status == "5.1.1"
    assert refused(a_report(LETTER, came_to=VERP, filler=LONGEST_READ)) is Uselessness.TOO_LARGE
    assert refused(b"x" * (LONGEST_READ + 1)) is Uselessness.TOO_LARGE


@given(at=st.integers(0, 900), what=st.binary(min_size=1, max_size=30))
def test_a_report_that_is_broken_anywhere_is_read_or_passed_over(at: int, what: bytes) -> None:
    report = a_report(LETTER, came_to=VERP)
    broken = report[:at] + what + report[at + len(what) :]
    try:
        found = read_report(broken)
    except Unusable:
        return
    assert all(address.isprintable() for address in (*found.came_to, *found.recipients))
    assert found.words.isprintable()


@given(st.binary(max_size=2000))
def test_any_octets_are_read_or_passed_over(octets: bytes) -> None:
    with suppress(Unusable):  # and nothing else
        assert read_report(octets).words.isprintable()
