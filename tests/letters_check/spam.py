"""What SpamAssassin's local rules think: below 1.0 for every letter, where 5.0 is spam."""

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.letters_check.findings import Fault, Finding
from tests.letters_check.letters import Letter, write
from tests.letters_check.tools import SECONDS, ToolFailedError

HIGHEST = 1.0
STATUS = re.compile(r"^X-Spam-Status: .*?score=(-?[\d.]+).*?tests=(.*?) autolearn=", re.MULTILINE | re.DOTALL)


def check(letters: Sequence[Letter], spamassassin: str) -> Finding:
    """Score every letter, all in one process: starting takes longer than twenty letters."""
    with tempfile.TemporaryDirectory() as folder:
        scored = score([path.read_bytes() for path in write(letters, Path(folder), "eml")], spamassassin)
    named = {letter.name: scored[at] for at, letter in enumerate(letters)}
    return Finding(check="spam", letters=len(letters), closest=_closest(named), faults=_faults(named))


def score(contents: Sequence[bytes], spamassassin: str) -> list[tuple[float, str]]:
    """Return each letter's score and the rules that hit, in the order given.

    What a user's own files say about senders, and what was learned from other mail, is left out: it would differ from one to the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{at:04}.eml" for at in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        command = [spamassassin, "-L", "-t", "-x", "--cf=use_bayes 0"]
        ran = subprocess.run([*command, *map(str, paths)], capture_output=True, check=False, timeout=SECONDS)
    told = re.split(r"^X-Spam-Checker-Version: ", ran.stdout.decode("utf-8", "replace").replace("\r", ""), flags=re.MULTILINE)[1:]
    if len(told) != len(contents):
        raise ToolFailedError(f"SpamAssassin scored {len(told)} of {len(contents)} letters: {ran.stderr.decode()[-1000:]}")
    return [_read(one, content) for one, content in zip(told, contents, strict=True)]


def _read(told: str, content: bytes) -> tuple[float, str]:
    """Read one letter's score. An answer holds the letter, so that none is taken for another's."""
    status = STATUS.search(told)
    subject = re.search(rb"^Subject: .*(?:\r\n .*)*", content, re.MULTILINE)
    if status is None or subject is None or subject[0].decode().replace("\r", "") not in told:
        raise ToolFailedError(f"SpamAssassin's answer can't be read: {told[:500]}")
    return float(status[1]), re.sub(r"\s+", " ", status[2])


def _closest(scored: Mapping[str, tuple[float, str]]) -> str:
    name, (highest, _) = max(scored.items(), key=lambda each: each[1][0])
    return f"highest score {highest} of {HIGHEST} ({name})"


def _faults(scored: Mapping[str, tuple[float, str]]) -> list[Fault]:
    return [Fault(letter=name, what=f"score {points}: {rules}") for name, (points, rules) in scored.items() if points >= HIGHEST]
