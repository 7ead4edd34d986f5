"""Encode what stands in a header: words of any script in 7-bit lines (RFC 2047), addresses with names (RFC 5322 3.4), dates.

The standard library does this too, at a millisecond a header and with long-line bugs of its own; the `To` line is written for every
member. Nothing here accepts a control character: a line break in a header is somebody else's header.
"""

import re
from binascii import b2a_base64
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from textwrap import wrap

LONGEST_LINE = 76  # characters, RFC 2047 2
_CONTINUATION = 0x80  # the upper two bits of a UTF-8 octet that does not begin a character
_AROUND_WORD = len("=?utf-8?b??=")
_LONGEST_IN_ONE_WORD = (LONGEST_LINE - len("From: ") - _AROUND_WORD) // 4 * 3

_PLAIN = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


def refuse_controls(text: str) -> str:
    """Return `text` as it is.

    Raises:
        ValueError: It holds a control character. Cleaned names and checked addresses never do, so this is a bug, not a bad member.
    """
    if not text.isprintable() and any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError("a letter's field holds a control character; names and addresses are cleaned before they are filled in")
    return text


def unstructured(text: str, *, used: int = 0) -> bytes:
    """Return the value of a free-text header, folded; `used` is the length of the field's name, colon and space."""
    refuse_controls(text)
    if "=?" in text or not _PLAIN.fullmatch(text):
        return _encoded_words(text, used)
    return _folded(text, used)


def mailbox(name: str, address: str) -> bytes:
    """Return `name <address>`, the name quoted or encoded as needed, or the bare address when there is no name."""
    if not name:
        return address.encode("ascii")
    if name.isascii():
        if len(name) + len(address) < LONGEST_LINE - 8 and _ATOMS.fullmatch(name):  # nearly everybody who needs no encoding
            return f"{name} <{address}>".encode("ascii")
        phrase = _phrase(name)
    elif name.isprintable() and len(octets := name.encode("utf-8")) <= _LONGEST_IN_ONE_WORD:  # and nearly everybody who does
        phrase = b"=?utf-8?b?%b?=" % b2a_base64(octets, newline=False)
    else:
        phrase = _phrase(name)
    fold = b"\r\n <" if len(phrase) + len(address) > LONGEST_LINE - 8 else b" <"
    return b"%b%b%b>" % (phrase, fold, address.encode("ascii"))


@lru_cache(maxsize=256)
def date(moment: datetime) -> bytes:
    """Return an aware moment as RFC 5322 3.3 wants it, in UTC: equal moments in different zones give the same bytes."""
    return format_datetime(moment.astimezone(UTC)).encode("ascii")


def _phrase(name: str) -> bytes:
    refuse_controls(name)
    if "=?" in name or not _PLAIN.fullmatch(name):
        return _encoded_words(name, len("From: "))
    if _ATOMS.fullmatch(name):
        return name.encode("ascii")
    return b'"%s"' % name.replace("\\", "\\\\").replace('"', '\\"').encode("ascii")


def _encoded_words(text: str, used: int) -> bytes:
    octets = text.encode("utf-8")
    words = []
    while octets:
        end = min((LONGEST_LINE - used - _AROUND_WORD) // 4 * 3, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == _CONTINUATION:  # a character is never split between words, RFC 2047 5
            end -= 1
        words.append(b"=?utf-8?b?%b?=" % b2a_base64(octets[:end], newline=False))
        octets = octets[end:]
        used = 1  # the space that continues a folded header
    return b"\r\n ".join(words)


def _folded(text: str, used: int) -> bytes:
    lines = wrap(text, LONGEST_LINE, initial_indent=" " * used, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
    return "\r\n".join(lines)[used:].encode("ascii")
