"""What reports mean: a row of the table, an example of it."""

import pytest

from jobs.domain.bounces import TABLE, Meaning, meaning_of

GONE, LOST = Meaning.ADDRESS_GONE, Meaning.LETTER_LOST

EXAMPLES = [
    ("still being tried", "delayed", "4.4.1", "connect to mx.example.com[192.0.2.1]:25: Connection timed out", Meaning.DELAYED),
    ("arrived", "delivered", "2.0.0", "250 2.0.0 OK", Meaning.DELIVERED),
    ("handed on", "relayed", "2.0.0", "", Meaning.DELIVERED),
    ("handed to a list", "expanded", "2.0.0", "", Meaning.DELIVERED),
    ("given up after days of trying", "failed", "4.4.1", "Connection timed out", LOST),
    ("no code at all", "failed", "", "", LOST),
    ("policy, in words", "failed", "5.0.0", "550 Message contains spam", LOST),
    ("policy, in words", "failed", "5.1.0", "550 Sender rejected", LOST),
    ("no such recipient, in words", "failed", "5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable", GONE),
    ("no such recipient, in words", "failed", "5.7.1", "550 5.7.1 No such user here", GONE),
    ("the sender's address is at fault", "failed", "5.1.8", "553 Domain of sender address does not resolve", LOST),
    ("the mailbox is full", "failed", "5.2.2", "552 5.2.2 The email account that you tried to reach is over quota", LOST),
    ("the letter is too large", "failed", "5.3.4", "552 5.3.4 Message size exceeds fixed limit", LOST),
    ("the letter is too large", "failed", "5.2.3", "", LOST),
    ("the other system is out of order", "failed", "5.3.5", "system config error", LOST),
    ("the way there is out of order", "failed", "5.4.6", "mail forwarding loop", LOST),
    ("the way there is out of order", "failed", "5.4.14", "Hop count exceeded - possible mail loop", LOST),
    ("the two did not understand each other", "failed", "5.5.2", "500 command unrecognized", LOST),
    ("the letter itself is at fault", "failed", "5.6.0", "invalid header", LOST),
    ("the sender is at fault, or a policy", "failed", "5.7.1", "550 5.7.1 Access denied", LOST),
    ("never", "failed", "5.1.1", "user unknown", GONE),
    ("never", "failed", "5.1.2", "Host or domain name not found", GONE),
    ("never", "failed", "5.2.1", "The email account that you tried to reach is inactive", GONE),
    ("never", "failed", "5.4.1", "Recipient address rejected: Access denied", GONE),
    ("never", "failed", "5.4.4", "Unable to route", GONE),
    ("never", "failed", "5.0.0", "", GONE),
]


@pytest.mark.parametrize(("row", "action", "status", "words", "meaning"), EXAMPLES)
def test_a_report_means_what_its_row_says(row: str, action: str, status: str, words: str, meaning: Meaning) -> None:
    assert row in {one.name for one in TABLE if one.meaning is meaning}
    assert meaning_of(action, status, words) is meaning


def test_every_row_has_an_example() -> None:
    assert {row for row, *_ in EXAMPLES} == {row.name for row in TABLE}


@pytest.mark.parametrize("action", ["", "exploded", "FAILED"])
def test_an_action_that_nobody_knows_changes_nothing(action: str) -> None:
    assert meaning_of(action, "5.1.1") is Meaning.DELAYED
