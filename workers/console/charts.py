"""Charts, drawn here as SVG: a bar of parts, a stretch of time, a level.

No text stands in them, so they may be stretched to any width; what they say stands in the table around them and in their title. Colours
are classes, because no style may stand in a page.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from markupsafe import Markup

from workers.console.wording import number, share

WIDTH: Final = 1000
HEIGHT: Final = 20
GAP: Final = 2
LEAST: Final = 4
"""Whoever is one of a million is seen all the same."""


def stack(name: str, parts: Sequence[tuple[str, float, str]]) -> Markup:
    """Return one bar of parts, each with its label, its count and the class of its colour. Empty parts are left out."""
    present = [part for part in parts if part[1] > 0]
    total = sum(value for _, value, _ in present)
    said = ", ".join(f"{label} {number(value)} ({share(value, total)})" for label, value, _ in present) or "nothing yet"
    rectangles, at = Markup(""), 0.0
    for (label, value, colour), width in zip(present, _widths([value for _, value, _ in present]), strict=True):
        inner = max(width - GAP, 1) if at + width < WIDTH - 1 else width
        rectangles += Markup('<rect x="{:.1f}" y="0" width="{:.1f}" height="{}" class="c-{}"><title>{}: {}</title></rect>').format(
            at, inner, HEIGHT, colour, label, number(value)
        )
        at += width
    return _svg(f"{name}: {said}", rectangles)


def level(name: str, part: float, colour: str = "accent") -> Markup:
    """Return a level from 0 to 1."""
    filled = WIDTH * min(1.0, max(0.0, part))
    bar = Markup('<rect x="0" y="0" width="{:.1f}" height="{}" class="c-{}"></rect>').format(filled, HEIGHT, colour)
    return _svg(f"{name}: {part:.0%}", bar)


def stretch(
    name: str, begins: datetime, ends: datetime, *, first: datetime, last: datetime, colour: str, marks: Sequence[datetime] = ()
) -> Markup:
    """Return a stretch of time between two moments, and marks in it; where it goes on, it reaches to the end."""
    whole = max((last - first).total_seconds(), 0.001)

    def place(moment: datetime) -> float:
        return min(WIDTH, max(0.0, WIDTH * (moment - first).total_seconds() / whole))

    at = min(place(begins), WIDTH - LEAST)
    drawn = Markup('<rect x="{:.1f}" y="4" width="{:.1f}" height="{}" class="c-{}"></rect>').format(
        at, max(LEAST, place(ends) - at), HEIGHT - 8, colour
    )
    for mark in marks:
        drawn += Markup('<rect x="{:.1f}" y="0" width="3" height="{}" class="c-mark"></rect>').format(min(place(mark), WIDTH - 3), HEIGHT)
    return _svg(name, drawn)


def _widths(values: Sequence[float]) -> list[float]:
    """Share the width out; the smallest parts get enough to be seen, and the others give way."""
    if not values:
        return []
    total = sum(values)
    raised = [max(WIDTH * value / total, LEAST + GAP) for value in values]
    scale = WIDTH / sum(raised)
    return [width * scale for width in raised]


def _svg(title: str, inside: Markup) -> Markup:
    head = Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" preserveAspectRatio="none" focusable="false"><title>{}</title>')
    ground = Markup('<rect x="0" y="0" width="{}" height="{}" class="c-ground"></rect>').format(WIDTH, HEIGHT)
    return head.format(WIDTH, HEIGHT, title) + ground + inside + Markup("</svg>")
