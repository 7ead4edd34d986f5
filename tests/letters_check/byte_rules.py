"""What must hold of the bytes: 7 bits, lines of at most 998 characters that end in CRLF, and no defect for Python's strict parser."""

import email
import email.policy
from collections.abc import Iterator, Sequence

from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter

LONGEST_LINE = 998  # RFC 5322 2.1.1


def check(letters: Sequence[Letter]) -> Finding:
    """Look at every letter."""
    longest = max(_longest_line(letter.content) for letter in letters)
    faults = [Fault(letter=letter.name, what=what) for letter in letters for what in faults_of(letter.content)]
    return Finding(check="bytes", letters=len(letters), closest=f"longest line {longest} of {LONGEST_LINE}", faults=faults)


def faults_of(content: bytes) -> Iterator[str]:
    """Say what is wrong with a letter's bytes."""
    if not content.isascii() or b"\0" in content:
        yield "not 7-bit clean"
    if not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n"):
        yield "a line does not end in CRLF"
    if _longest_line(content) > LONGEST_LINE:
        yield f"a line has {_longest_line(content)} characters"
    message = email.message_from_bytes(content, policy=email.policy.strict.clone(raise_on_defect=False))
    for part in message.walk():
        yield from (f"{part.get_content_type()}: {type(defect).__name__}" for defect in part.defects)
        yield from (f"{name}: {type(defect).__name__}" for name, value in part.items() for defect in value.defects)


def _longest_line(content: bytes) -> int:
    return max(map(len, content.split(b"\r\n")))
