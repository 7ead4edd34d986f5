"""What html-validate thinks of the HTML, and how large it is."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from jobs.letters.rehearsal import LARGEST_HTML
from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter, write
from tests.letters_check.tools import Tools


def check(letters: Sequence[Letter], tools: Tools) -> Finding:
    """Validate every letter."""
    with tempfile.TemporaryDirectory() as folder:
        found = tools.run_node("html_validate.mjs", *map(str, write(letters, Path(folder), "html")))
    faults = [
        Fault(letter=letter.name, what=f"{said['rule']}: {said['message']} (line {said['line']})")
        for letter in letters
        for said in found[letter.name]
    ]
    return Finding(check="HTML", letters=len(letters), closest="", faults=faults)


def check_size(letters: Sequence[Letter]) -> Finding:
    """Measure every letter: some mail programs cut what is too long, and with it who wrote and why."""
    sizes = {letter.name: len(letter.html.encode()) for letter in letters}
    largest = max(sizes, key=sizes.__getitem__)
    faults = [Fault(letter=name, what=f"{size:,} octets of HTML") for name, size in sizes.items() if size > LARGEST_HTML]
    return Finding(
        check="size", letters=len(letters), closest=f"largest {sizes[largest]:,} of {LARGEST_HTML:,} octets ({largest})", faults=faults
    )
