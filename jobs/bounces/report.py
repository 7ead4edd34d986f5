"""Read a message as a report of a failed delivery: what it says, where it came to, and what it quotes of the letter.

Everything in it is hostile. No more than the first 256 KiB are looked at: our letters have 10 to 40 KB, and the report stands before
the letter that it quotes.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.message import Message
from email.utils import getaddresses
from enum import StrEnum

from flufl.bounce import all_failures

LONGEST_READ = 256 * 1024
"""Octets."""

MOST_HOPS = 50
"""`Received` lines; Postfix gives up at as many."""

CAME_TO = ("X-Original-To", "Delivered-To", "Envelope-To", "To")
STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
REFUSAL = re.compile(r"\b5\d\d\b")
ADDRESS = re.compile(r"\S+@\S+")
WORDS = 120

logging.getLogger("flufl.bounce").disabled = True  # it logs what it can't read, with what that is about


class Uselessness(StrEnum):
    """Why a message changes nothing. The words are counted, logged and stay what they are."""

    TOO_LARGE = "too_large"
    """What the report says is not within the part that is read."""
    UNREADABLE = "unreadable"
    AUTO_REPLY = "auto_reply"
    READ_RECEIPT = "read_receipt"
    COMPLAINT = "complaint"
    MAIL_LOOP = "mail_loop"
    NO_REPORT = "no_report"
    NOT_OURS = "not_ours"
    """A report, but about no letter that could be ours."""
    FORGED = "forged"
    """It names a letter of ours, and can't prove that its author ever saw it."""
    UNKNOWN_LETTER = "unknown_letter"
    """The letter is not in the ledger, or not any more."""
    KNOWN = "known"
    """The letter is known not to have arrived, or was never sent: the same report again."""


class Unusable(Exception):  # noqa: N818 -- named by what happens next
    """Nothing follows from this message; `reason` says why."""

    def __init__(self, reason: Uselessness) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What the report quotes of the letter's header; any of it may be missing."""

    message_id: str = ""
    feedback_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report says about one recipient. `action`: in lower case; `status`: a code of RFC 3463, or nothing."""

    action: str
    status: str
    words: str
    """The other server's, without addresses, on one line."""
    came_to: tuple[str, ...]
    """Addresses that it was sent to, as far as its header tells, the most reliable ones first."""
    recipients: tuple[str, ...]
    """Addresses that it is about, or that the letter it quotes was written to."""
    quoted: Quoted


def read_report(octets: bytes, *, came_to: str | None = None) -> Report:
    """Return what the first `LONGEST_READ` octets of a message report. `came_to`: its envelope recipient, where that is known.

    Raises:
        Unusable: It is something else, or nothing that anybody could read.
    """
    is_cut = len(octets) > LONGEST_READ
    try:
        message = message_from_bytes(octets[:LONGEST_READ])
        return _read(message, came_to)
    except Unusable as unusable:
        if is_cut and unusable.reason in (Uselessness.NO_REPORT, Uselessness.AUTO_REPLY):
            raise Unusable(Uselessness.TOO_LARGE) from None
        raise
    except RecursionError:
        raise Unusable(Uselessness.UNREADABLE) from None
    except Exception:  # noqa: BLE001 -- parsers of mail fail in every way there is on what is made to make them fail
        raise Unusable(Uselessness.UNREADABLE) from None


def _read(message: Message, came_to: str | None) -> Report:
    _refuse_loops(message)
    action, status, words, about = _said(message)
    quoted = _quoted(message)
    return Report(
        action=action,
        status=status,
        words=words,
        came_to=tuple(dict.fromkeys([*([came_to] if came_to else []), *_addresses(message, *CAME_TO)])),
        recipients=tuple(dict.fromkeys([*about, *(_addresses(quoted, "To") if quoted else [])])),
        quoted=Quoted(message_id=_text(quoted, "Message-ID"), feedback_id=_text(quoted, "Feedback-ID")) if quoted else Quoted(),
    )


def _refuse_loops(message: Message) -> None:
    """Refuse what goes round, and our own letters where somebody sends them on to here."""
    if len(message.get_all("Received", [])) > MOST_HOPS or _text(message, "Feedback-ID").endswith(":portcullis"):
        raise Unusable(Uselessness.MAIL_LOOP)


def _said(message: Message) -> tuple[str, str, str, list[str]]:
    """Return action, status, words and recipients: of the report (RFC 3464), else what flufl.bounce makes of somebody's own wording."""
    _refuse_other_reports(message)
    groups = [group for group in _groups(message) if _text(group, "Action")]
    if groups:
        group = next((group for group in groups if _text(group, "Action").lower() == "failed"), groups[0])
        diagnosis = _text(group, "Diagnostic-Code")
        return _text(group, "Action").lower(), _status(group, diagnosis), _words(diagnosis), _about(group)
    for_now, for_good = _failures(message)
    if for_good:
        return "failed", "5.0.0", "", [address.decode("ascii", "replace") for address in sorted(for_good)]
    if for_now:
        return "delayed", "", "", []
    raise Unusable(Uselessness.AUTO_REPLY if _is_automatic(message) else Uselessness.NO_REPORT)


def _failures(message: Message) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return addresses that failed for now and for good, by somebody's own wording; none, where even flufl.bounce stumbles."""
    try:
        return all_failures(message)
    except Exception:  # noqa: BLE001 -- as above
        return frozenset(), frozenset()


def _refuse_other_reports(message: Message) -> None:
    match str(message.get_param("report-type", "")).lower():
        case "disposition-notification":
            raise Unusable(Uselessness.READ_RECEIPT)  # RFC 8098
        case "feedback-report":
            raise Unusable(Uselessness.COMPLAINT)  # RFC 5965


def _groups(message: Message) -> Iterator[Message]:
    """Yield the groups of fields of a delivery status, the first of which is about the message as a whole."""
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status" and isinstance(groups := part.get_payload(), list):
            yield from (group for group in groups if isinstance(group, Message))
            return


def _status(group: Message, diagnosis: str) -> str:
    if stated := STATUS.match(_text(group, "Status")):
        return stated[0]
    if found := STATUS.search(diagnosis):
        return found[0]
    return "5.0.0" if REFUSAL.search(diagnosis) else ""


def _words(diagnosis: str) -> str:
    text = ADDRESS.sub("", diagnosis.partition(";")[2] or diagnosis)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:WORDS]


def _about(group: Message) -> list[str]:
    fields = (_text(group, "Final-Recipient"), _text(group, "Original-Recipient"))
    return [address.strip() for field in fields if (address := field.partition(";")[2]) and address.isprintable()]


def _quoted(message: Message) -> Message | None:
    """Return the header of the letter that came back."""
    for part in message.walk():
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload and isinstance(payload[0], Message):
            return payload[0]
        if part.get_content_type() == "text/rfc822-headers" and isinstance(payload, str):
            return message_from_string(payload)
    return None


def _is_automatic(message: Message) -> bool:
    """Say whether a machine answers for somebody: RFC 3834 5, and what was usual before it."""
    submitted = _text(message, "Auto-Submitted").lower()
    precedence = _text(message, "Precedence").lower()
    older = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply")
    return submitted not in ("", "no") or precedence in ("auto_reply", "bulk", "junk") or any(name in message for name in older)


def _addresses(message: Message, *names: str) -> list[str]:
    found = (address for name in names for _, address in getaddresses([str(value) for value in message.get_all(name, [])]))
    return [address for address in found if address and address.isprintable()]  # what can't be printed can't be asked for either


def _text(message: Message, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())
