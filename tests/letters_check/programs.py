"""What Gmail, Outlook on Windows and on the web, Apple Mail and Yahoo do not know of what letters use, by caniemail's data.

Nothing essential may be unsupported anywhere: each exception below says what a reader of such a program sees instead.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter, write
from tests.letters_check.tools import Tools

DISPENSABLE = {
    "<style> element": "only dark colours and a phone's margins stand there; the rest is in attributes",
    "@media": "the same",
    "<body> element": "the table inside has the same ground and the wrapper the same language and direction",
    "<bdi> element": "the element around it has a direction of its own, which isolates a name as well",
    "display:none": "the preheader is read as the first line, which is what it says",
    "height property": "only the hidden preheader's greatest height is meant",
    "overflow": "as before",
    "overflow-wrap": "a very long word sticks out; names are cut at 64 characters",
    "word-break": "the same",
    "border-radius": "corners are square",
}


def check(letters: Sequence[Letter], tools: Tools) -> Finding:
    """Look up what every letter uses."""
    with tempfile.TemporaryDirectory() as folder:
        found = tools.run_node("client_support.mjs", *map(str, write(letters, Path(folder), "html")))
    used = {(said["feature"]) for name in found for said in found[name]}
    faults = [
        Fault(letter=letter.name, what=f"{said['feature']} is not known to {', '.join(said['unsupported'])}")
        for letter in letters
        for said in found[letter.name]
        if said["unsupported"] and said["feature"] not in DISPENSABLE
    ]
    closest = f"{len(used)} features that some program has limits with, {len(used & set(DISPENSABLE))} of them dispensable"
    return Finding(check="mail programs", letters=len(letters), closest=closest, faults=faults)
