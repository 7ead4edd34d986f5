"""Draw the results as one small SVG: bars, each with its number. Readable on a light and on a dark page: it brings its own ground."""

import statistics
from collections.abc import Iterable, Sequence
from html import escape

from tests.benchmarks.results import Results

WIDTH, ROW, GAP, LEFT = 800, 24, 40, 340
BARS = WIDTH - LEFT - 90
OURS, THEIRS = "#1f6feb", "#8c959f"

Bar = tuple[str, float, str]
"""Name, length, and the number beside it. The first bar of a panel is ours."""


def picture(results: Results) -> str:
    """Return the SVG; a panel for each comparison that there are results for."""
    panels = [(title, bars) for title, bars in _panels(results) if len(bars) > 1]
    parts, top = [], 16
    for title, bars in panels:
        parts.append(f'<text x="16" y="{top + 16}" class="title">{escape(title)}</text>')
        top += 30
        longest = max(length for _, length, _ in bars)
        for place, (name, length, number) in enumerate(bars):
            parts.append(_bar(name, length / longest, number, top + place * ROW, OURS if place == 0 else THEIRS))
        top += len(bars) * ROW + GAP - 24
    return _frame(top, parts)


def _panels(results: Results) -> Iterable[tuple[str, Sequence[Bar]]]:
    whole = [("Portcullis", _median(run.members_a_second for run in results.runs))] if results.runs else []
    whole += [(name, _median(run.members_a_second for run in runs)) for name, runs in results.peers.items()]
    yield "Members a second, from the switch to the last letter", [(name, speed, f"{speed:,.0f}") for name, speed in whole]
    letters = [("Portcullis, with its ledger", _median(run.letters_a_second for run in results.runs))] if results.runs else []
    letters += [("smtp-source -d -s 16 (C, keeps no books)", _median(results.sources))] if results.sources else []
    yield "Letters a second to the same sink", [(name, speed, f"{speed:,.0f}") for name, speed in letters]
    members = results.runs[0].members if results.runs else 0
    ended = [("Portcullis, in batches that can be stopped", _median(run.last_session for run in results.runs))] if results.runs else []
    ended += [("one SQL statement over everybody", _median(results.statements))] if results.statements else []
    yield f"Seconds to lock out {members:,} members (shorter is better)", [(name, time, f"{time:.2f} s") for name, time in ended]


def _bar(name: str, part: float, number: str, top: int, colour: str) -> str:
    width = max(2, round(part * BARS))
    return (
        f'<text x="{LEFT - 10}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{LEFT}" y="{top}" width="{width}" height="{ROW - 6}" rx="2" fill="{colour}"/>'
        f'<text x="{LEFT + width + 8}" y="{top + 13}">{escape(number)}</text>'
    )


def _frame(height: int, parts: Sequence[str]) -> str:
    style = "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}"
    ground = f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff" stroke="#d1d9e0"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    return "\n".join([head, "<title>Portcullis beside other designs</title>", f"<style>{style}</style>", ground, *parts, "</svg>", ""])


def _median(samples: Iterable[float]) -> float:
    return statistics.median(samples)
