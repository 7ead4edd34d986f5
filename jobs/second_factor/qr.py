"""Draw an `otpauth://` address as a QR code: as SVG for a page, in block characters for a terminal."""

import io
from html import escape

import segno


def svg(uri: str, title: str) -> str:
    """Return an `<svg role="img">` element with a title, dark on white with the quiet zone that scanners need (ISO/IEC 18004: 4)."""
    drawn = _draw(uri).svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=False, svgclass=None, lineclass=None)
    start = drawn.index(">") + 1
    head = drawn[: start - 1]
    return f'{head} role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>{drawn[start:]}'


def text(uri: str) -> str:
    """Return lines of block characters."""
    lines = io.StringIO()
    _draw(uri).terminal(lines, border=4, compact=True)
    return lines.getvalue()


def _draw(uri: str) -> segno.QRCode:
    return segno.make(uri, error="m", micro=False)
