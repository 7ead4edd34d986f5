"""Reports of failed delivery as mail servers write them, about letters that a relay of the tests took."""

from email.message import Message
from email.parser import BytesHeaderParser

BOUNDARY = "=_report"


def a_report(
    letter: bytes | None = None,
    *,
    came_to: str = "security@northwind.example",
    action: str = "failed",
    status: str = "5.1.1",
    about: str = "ada@example.com",
    diagnosis: str = "smtp; 550 5.1.1 <ada@example.com>: user unknown",
    filler: int = 0,
) -> bytes:
    """Return a report (RFC 3464) as Postfix words it, quoting the header of `letter`. `filler`: octets in front of what it says."""
    quoted = b"" if letter is None else letter.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n")
    return (
        (
            f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.com (Mail Delivery System)\nTo: {came_to}\n"
            "Subject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
            f'Content-Type: multipart/report; report-type=delivery-status;\n boundary="{BOUNDARY}"\n\n'
            f"--{BOUNDARY}\nContent-Type: text/plain; charset=us-ascii\n\nI'm sorry to have to inform you.\n{_lines(filler)}"
            f"\n--{BOUNDARY}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n"
            f"Final-Recipient: rfc822; {about}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: {diagnosis}\n"
            f"\n--{BOUNDARY}\nContent-Type: text/rfc822-headers\n\n"
        ).encode()
        + quoted
        + f"\n--{BOUNDARY}--\n".encode()
    )


def headers_of(letter: bytes) -> Message:
    return BytesHeaderParser().parsebytes(letter)


def _lines(octets: int) -> str:
    line = "x" * 76 + "\n"
    return line * (octets // len(line))
