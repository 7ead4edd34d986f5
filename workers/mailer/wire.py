"""What one envelope looks like on the wire: its commands and its dot-stuffed content (RFC 5321, RFC 1870).

An address or a content that could break out of its command is refused here, before a byte of it is written.
"""

import re

from jobs.ports import Envelope, Receipt, Scope, SmtpStage

PATH_OCTETS = 254
"""RFC 5321 4.5.3.1.3 allows a path of 256 octets; the angle brackets take two."""
MAILBOX = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")
"""Printable ASCII without space and angle brackets: nothing that ends a path, a command or a line."""
DOT_AT_LINE_BEGIN = re.compile(rb"\n\.")
"""Four times as quick as `in`, which the letters notice: it reads each of them from one end to the other."""
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
FINAL_DOT = b".\r\n"
RESET = b"RSET\r\n"
DATA = b"DATA\r\n"
QUIT = b"QUIT\r\n"


def unfit(envelope: Envelope) -> Receipt | None:
    """Say why an envelope must not be written at all; `None` when it may."""
    if not _is_mailbox(envelope.recipient):
        return Receipt(scope=Scope.RECIPIENT, stage=SmtpStage.MAIL, text="the recipient's address cannot be written safely: not sent")
    if envelope.sender and not _is_mailbox(envelope.sender):
        return Receipt(scope=Scope.MESSAGE, stage=SmtpStage.MAIL, text="the sender's address cannot be written safely: not sent")
    return None


def mail(envelope: Envelope, *, with_size: bool) -> bytes:
    """Return the MAIL command; with RFC 1870's SIZE the relay can refuse a large letter before it travels."""
    size = f" SIZE={len(envelope.content)}" if with_size else ""
    return f"MAIL FROM:<{envelope.sender}>{size}\r\n".encode("ascii")


def rcpt(envelope: Envelope) -> bytes:
    """Return the RCPT command."""
    return f"RCPT TO:<{envelope.recipient}>\r\n".encode("ascii")


def data(_envelope: Envelope) -> bytes:
    """Return the DATA command."""
    return DATA


def opening(envelope: Envelope, *, with_size: bool) -> bytes:
    """Return MAIL, RCPT and DATA as the one group that RFC 2920 allows."""
    return mail(envelope, with_size=with_size) + rcpt(envelope) + DATA


def stuffed(content: bytes) -> bytes:
    """Return the content with leading dots doubled (RFC 5321 4.5.2) and CRLF at its end; the final dot is not included.

    A bare LF before a dot is how one letter is smuggled into another: where a line begins with a dot, every line end is made CRLF.
    Counting first: the substitution costs ten times what sending a letter does.
    """
    if DOT_AT_LINE_BEGIN.search(content):
        if not content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r"):
            content = BARE_LINE_END.sub(b"\r\n", content)
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _is_mailbox(address: str) -> bool:
    return len(address) <= PATH_OCTETS and MAILBOX.fullmatch(address) is not None
