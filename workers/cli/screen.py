"""What commands print: plain text that survives a pipe, or one JSON document a line.

Text comes from people and from relays, so control and bidirectional characters are shown as a replacement: nothing that is printed
can move the cursor or reorder a line.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any


def clean(text: object) -> str:
    """Return `text` as one printable line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text).replace("\n", " "))


def tell(*lines: str) -> None:
    """Print lines of a result."""
    sys.stdout.write("".join(f"{clean(line)}\n" for line in lines))


def tell_json(document: Any) -> None:
    """Print a document on one line, and at once: somebody may read along."""
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def note(*lines: str) -> None:
    """Say something to the person beside the result."""
    sys.stderr.write("".join(f"{clean(line)}\n" for line in lines))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return aligned lines: numbers to the right, `None` as a dash."""
    written = [[_cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[place]) for row in written) for place in range(len(headings))]
    widths = [max(len(line[place]) for line in [list(headings), *written]) for place in range(len(headings))]
    lines = []
    for line in [list(headings), *written]:
        cells = [text.rjust(width) if right else text.ljust(width) for text, width, right in zip(line, widths, numeric, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def moment(when: datetime | str | None) -> str:
    """Return a time in UTC to the second, or a dash."""
    if when is None:
        return "-"
    known = datetime.fromisoformat(when) if isinstance(when, str) else when
    return known.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a length of time as people say it: `0:07`, `12:30`, `3:05:00`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 24:  # noqa: PLR2004 -- hours of a day
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else clean(value)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").isdigit()
