"""What Chromium shows: axe finds nothing, text stands out from its ground, a phone needs no sideways scroll, and the facts are the text's.

Looked at light, dark, with every colour turned into its opposite, and 360 pixels wide. Contrast is measured on the pixels, so whatever CSS
says or leaves out, it is what a reader would see.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.letters.colours import LEAST_CONTRAST
from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter, write
from tests.letters_check.tools import Tools

SMALLEST_TEXT = 16
LOWEST_BUTTON = 44
URL = re.compile(r"https?://[^\s<>\"]+")


def check(
    letters: Sequence[Letter], tools: Tools, *, pictures: Path | None = None, measured: Sequence[Letter] | None = None
) -> list[Finding]:
    """Show every letter, and measure the contrast in all, or in those `measured`: that takes longer than all the rest.

    `pictures`: keep what was seen in this folder, four files a letter.
    """
    measured = letters if measured is None else measured
    with tempfile.TemporaryDirectory() as folder:
        order = {
            "letters": [str(path) for path in write(letters, Path(folder), "html")],
            "measured": [str(path) for path in write(measured, Path(folder), "html")],
            "chromium": tools.chromium,
            "sandbox": os.geteuid() != 0,  # Chromium has none for root
            "pictures": str(pictures.resolve()) if pictures else None,
        }
        shown = tools.run_node("browser.mjs", json.dumps(order))["letters"]
    return [
        _finding("accessibility", letters, shown, _accessibility, "light, dark and inverted"),
        _finding("contrast", measured, shown, _contrast, _lowest(shown)),
        _finding("layout", letters, shown, _layout, "640 and 360 pixels"),
        _finding("facts", letters, shown, facts, "text against what is shown"),
    ]


def _finding(check: str, letters: Sequence[Letter], shown: Mapping[str, Any], look: Any, closest: str) -> Finding:
    faults = [Fault(letter=letter.name, what=what) for letter in letters for what in look(letter, shown[letter.name])]
    return Finding(check=check, letters=len(letters), closest=closest, faults=faults)


def _accessibility(_: Letter, shown: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{said['mode']}: {said['id']}: {said['help']}: {said['where']}" for said in shown["violations"])


def _contrast(_: Letter, shown: Mapping[str, Any]) -> Iterator[str]:
    for mode, lowest in shown["contrast"].items():
        if lowest["words"] == 0:
            yield f"{mode}: no text was seen"
        elif lowest["ratio"] < LEAST_CONTRAST:
            yield f"{mode}: {lowest['ratio']:.2f}:1 for “{lowest['text']}”"


def _lowest(shown: Mapping[str, Any]) -> str:
    mode, lowest = min(
        ((mode, seen) for letter in shown.values() for mode, seen in letter["contrast"].items()), key=lambda each: each[1]["ratio"]
    )
    return f"lowest {lowest['ratio']:.2f}:1 of {LEAST_CONTRAST}:1 ({mode}, “{lowest['text'][:30]}”)"


def _layout(_: Letter, shown: Mapping[str, Any]) -> Iterator[str]:
    for width in ("wide", "phone"):
        seen = shown[width]
        if seen["overflow"] > 0:
            yield f"{width}: {seen['overflow']} pixels stick out"
        if seen["smallestText"] < SMALLEST_TEXT:
            yield f"{width}: text of {seen['smallestText']} pixels"
        if seen["lowestButton"] < LOWEST_BUTTON:
            yield f"{width}: a button of {seen['lowestButton']} pixels"


def facts(letter: Letter, shown: Mapping[str, Any]) -> Iterator[str]:
    """Say what stands in the text only, or on the screen only: words, and where links lead."""
    seen = shown["wide"]
    for where, here, there in (("text", letter.text, seen["text"]), ("HTML", seen["text"], letter.text)):
        if only := sorted(_words(here) - _words(there)):
            yield f"only in the {where}: {' '.join(only)}"
    if set(seen["links"]) != set(URL.findall(letter.text)):
        yield f"links lead to {', '.join(sorted(set(seen['links'])))}, the text to {', '.join(sorted(set(URL.findall(letter.text))))}"


def _words(text: str) -> set[str]:
    """Without what numbers a list: the browser draws it."""
    return set(re.sub(r"(?m)^\s*(?:\d\.|-)(?= )", "", text).split())
