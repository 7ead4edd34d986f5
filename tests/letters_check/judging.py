"""Put every letter before every judge that is there."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.letters_check import byte_rules, mail_reader, markup, programs, screens, spam
from tests.letters_check.findings import Finding
from tests.letters_check.letters import Letter, full
from tests.letters_check.tools import Tools


def judge(letters: Sequence[Letter], tools: Tools, pictures: Path | None = None) -> list[Finding]:
    """Return what each check found, in the order in which they are read. The browser, the slowest, sees letters with all facts only."""
    return [
        byte_rules.check(letters),
        markup.check_size(letters),
        *_where(tools.spamassassin, ["spam"], lambda: [spam.check(letters, str(tools.spamassassin))]),
        *_where(tools.packages and tools.node, ["HTML"], lambda: [markup.check(letters, tools)]),
        *_where(tools.packages and tools.node, ["mail programs"], lambda: [programs.check(letters, tools)]),
        *_where(tools.packages and tools.node, ["mail reader"], lambda: [mail_reader.check(letters, tools)]),
        *_where(
            tools.packages and tools.node and tools.chromium,
            ["accessibility", "contrast", "layout", "facts"],
            lambda: screens.check(full(letters), tools, pictures=pictures),
        ),
    ]


def _where(tool: object, checks: Sequence[str], look: Callable[[], list[Finding]]) -> list[Finding]:
    return look() if tool else [Finding(check=check, missing="its tool is missing") for check in checks]
