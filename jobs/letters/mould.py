"""A letter encoded once, with gaps where members differ.

Rendering, inlining and MIME cost two milliseconds and are the same for everybody who gets the same letter in the same language. What
differs (To, Date, ids, name, account, local time) goes into gaps. Filling is one join of byte strings, 2 µs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Self

from jobs.letters.quoted import SOFT_BREAK, quote_body


class Gap(IntEnum):
    """What is filled in per member; the number is the filling's place in what `Mould.fill` takes."""

    TO = 0
    DATE = 1
    MESSAGE_ID = 2
    REFERENCE = 3
    WHEN = 4
    NAME = 5
    NAME_IN_HTML = 6
    ACCOUNT = 7
    ACCOUNT_IN_HTML = 8


_BOUNDARY = b"=_letter"  # cannot occur in quoted-printable

NAME, ACCOUNT, WHEN = "\ue000", "\ue001", "\ue002"
"""What templates are rendered with in place of a member's facts. Private use: `clean_name` lets none of them into a letter."""

_IN_TEXT = {NAME: Gap.NAME, ACCOUNT: Gap.ACCOUNT, WHEN: Gap.WHEN}
_IN_HTML = {NAME: Gap.NAME_IN_HTML, ACCOUNT: Gap.ACCOUNT_IN_HTML, WHEN: Gap.WHEN}

Piece = bytes | Gap


class Mould:
    """Fixed bytes and gaps in turn, beginning and ending with fixed bytes; at least two gaps."""

    __slots__ = ("_parts", "_pick")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        gaps = [piece for piece in pieces if isinstance(piece, Gap)]
        self._pick = itemgetter(*gaps)
        self._parts = [b""] * (2 * len(gaps) + 1)
        at = 0
        for piece in pieces:
            if isinstance(piece, Gap):
                at += 2
            else:
                self._parts[at] += piece

    @classmethod
    def cast(cls, headers: Sequence[Piece], text: str, html: str) -> Self:
        """Encode a letter. `headers` are whole lines with gaps for values; `text` and `html` mark gaps by private-use characters."""
        return cls(
            [
                *headers,
                b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="%b"\r\n\r\n' % _BOUNDARY,
                _part_head(b"plain"),
                *_with_gaps(text, _IN_TEXT),
                _part_head(b"html"),
                *_with_gaps(html, _IN_HTML),
                b"\r\n--%b--\r\n" % _BOUNDARY,
            ]
        )

    def fill(self, fillings: Sequence[bytes]) -> bytes:
        """Return the whole letter; `fillings` holds encoded bytes by the number of their `Gap`."""
        parts = self._parts.copy()
        parts[1::2] = self._pick(fillings)
        return b"".join(parts)


def _part_head(subtype: bytes) -> bytes:
    return b"\r\n--%b\r\nContent-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" % (_BOUNDARY, subtype)


def _with_gaps(body: str, gaps: Mapping[str, Gap]) -> Iterator[Piece]:
    for stretch in re.split(f"([{NAME}{ACCOUNT}{WHEN}])", body):
        if gap := gaps.get(stretch):
            yield SOFT_BREAK
            yield gap
            yield SOFT_BREAK
        else:
            yield quote_body(stretch)
