"""Quoted-printable (RFC 2045 6.7), for bodies with gaps and for what fills the gaps.

A gap lies between two soft line breaks, so that whatever is filled in stands on lines of its own: no line can grow beyond 76
characters, and the filling need not know its surroundings. `=` never stands bare in an encoded body, so a boundary that starts with
`=_` cannot occur in one.
"""

import re
from binascii import b2a_qp

from jobs.letters.headers import refuse_controls

SOFT_BREAK = b"=\r\n"
LONGEST_LINE = 76  # characters with the soft break's "="

_PLAIN = re.compile(r"(?!\.)[ -<>-~]{0,75}")


def quote_body(text: str) -> bytes:
    """Encode lines of text that end in LF; the result has CRLF line ends and room for a soft break at its end."""
    return _lines(b2a_qp(text.encode("utf-8")))


def quote_value(value: str) -> bytes:
    """Encode what fills a gap: one line of text, in as many lines as it takes.

    Raises:
        ValueError: It holds a control character.
    """
    if value.isascii() and _PLAIN.fullmatch(value):
        return value.encode("ascii")
    encoded = b2a_qp(refuse_controls(value).encode("utf-8"))
    return _undotted(encoded) if len(encoded) < LONGEST_LINE - 2 else _lines(encoded)


def _lines(encoded: bytes) -> bytes:
    *lines, last = map(_undotted, encoded.split(b"\n"))
    return b"\r\n".join([*(_broken(line, LONGEST_LINE) for line in lines), _broken(last, LONGEST_LINE - 1)])


def _undotted(line: bytes) -> bytes:
    """Encode a leading dot (RFC 2049 section 3): then no letter needs dot-stuffing, which costs as much as sending it."""
    return b"=2E" + line[1:] if line.startswith(b".") else line


def _broken(line: bytes, longest: int) -> bytes:
    """Break a line that the encoder left too long: it counts neither the break to come nor a space that it encodes at the end."""
    if len(line) <= longest:
        return line
    at = longest - 4  # at least three characters follow, so that one break is enough
    at -= next((back for back in (1, 2) if line[at - back : at - back + 1] == b"="), 0)  # never inside an "=XX"
    return line[:at] + SOFT_BREAK + _undotted(line[at:])
