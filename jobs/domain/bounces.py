"""What a report of a failed delivery means: for the letter, and for the address it went to."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """What follows from a report about one letter."""

    ADDRESS_GONE = "address_gone"
    """The letter did not arrive, and none ever will: refused, the address is suppressed."""
    LETTER_LOST = "letter_lost"
    """The letter did not arrive, for a reason of its own or of the day: refused, the address is left alone."""
    DELAYED = "delayed"
    """It is still being tried: noted only."""
    DELIVERED = "delivered"
    """It arrived, or was handed on: noted only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule: RFC 3464 2.3.3's action, RFC 3463's code, the other server's words; what is left out fits everything."""

    name: str
    meaning: Meaning
    action: str = "failed"
    status: re.Pattern[str] = re.compile(".*")
    words: re.Pattern[str] = re.compile("")


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


def _codes(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


FOR_GOOD = _codes(r"5\..*")

TABLE: tuple[Row, ...] = (
    Row(name="still being tried", action="delayed", meaning=Meaning.DELAYED),
    Row(name="arrived", action="delivered", meaning=Meaning.DELIVERED),
    Row(name="handed on", action="relayed", meaning=Meaning.DELIVERED),
    Row(name="handed to a list", action="expanded", meaning=Meaning.DELIVERED),
    Row(name="given up after days of trying", status=_codes(r"4\..*"), meaning=Meaning.LETTER_LOST),
    Row(name="no code at all", status=_codes(""), meaning=Meaning.LETTER_LOST),
    Row(
        name="policy, in words",
        words=_words(
            r"\b(spf|dkim|dmarc)\b", r"\bspam\b", r"black-?list", r"block-?list", r"\breputation\b", r"sender (address )?rejected"
        ),
        meaning=Meaning.LETTER_LOST,
    ),
    Row(
        name="no such recipient, in words",
        status=FOR_GOOD,
        words=_words(
            r"(user|recipient|mailbox|account|address)( is)? (unknown|unavailable|disabled|inactive|suspended|not found)",
            r"(unknown|invalid|no such) (local )?(user|recipient|mailbox|address|person)",
        ),
        meaning=Meaning.ADDRESS_GONE,
    ),
    Row(name="the sender's address is at fault", status=_codes(r"5\.1\.[78]"), meaning=Meaning.LETTER_LOST),
    Row(name="the mailbox is full", status=_codes(r"5\.2\.2"), meaning=Meaning.LETTER_LOST),
    Row(name="the letter is too large", status=_codes(r"5\.(2\.3|3\.4)"), meaning=Meaning.LETTER_LOST),
    Row(name="the other system is out of order", status=_codes(r"5\.3\.\d+"), meaning=Meaning.LETTER_LOST),
    Row(name="the way there is out of order", status=_codes(r"5\.4\.([235-8]|14|300|312|316)"), meaning=Meaning.LETTER_LOST),
    Row(name="the two did not understand each other", status=_codes(r"5\.5\.\d+"), meaning=Meaning.LETTER_LOST),
    Row(name="the letter itself is at fault", status=_codes(r"5\.6\.\d+"), meaning=Meaning.LETTER_LOST),
    Row(name="the sender is at fault, or a policy", status=_codes(r"5\.7\.\d+"), meaning=Meaning.LETTER_LOST),
    Row(name="never", status=FOR_GOOD, meaning=Meaning.ADDRESS_GONE),
)
"""Read from the top. To teach it a system's habit, add a row and its example in the test. 5.4.1 and 5.4.4, no answer and no such host, are
how Exchange and Postfix say that nobody is there."""


def meaning_of(action: str, status: str, words: str = "") -> Meaning:
    """Return what an action (in lower case), a code such as `5.1.1` or none, and words mean. An unknown action changes nothing."""
    rows = (row for row in TABLE if row.action == action and row.status.fullmatch(status) and row.words.search(words))
    return next((row.meaning for row in rows), Meaning.DELAYED)
