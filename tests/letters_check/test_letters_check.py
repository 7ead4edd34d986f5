"""Letters before the judges that are there: every kind and every language at least once. `make letters-check` shows each with each.

And the judges themselves: what none of them would object to proves nothing, so each is shown a letter that deserves it.
"""

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from jobs.domain.letters import LetterKind
from jobs.letters.catalogues import languages
from tests.letters_check import byte_rules, mail_reader, markup, programs, screens, spam, tools
from tests.letters_check.findings import Finding
from tests.letters_check.letters import Letter, every_letter, full, part
from tests.letters_check.tools import Tools

MEASURED = {LetterKind.SIGNED_OUT, LetterKind.REPORT}

everything = lru_cache(maxsize=1)(every_letter)
found = lru_cache(maxsize=1)(tools.find)


def some() -> list[Letter]:
    return part(everything())


def a_letter(kind: LetterKind = LetterKind.SIGNED_OUT, language: str = "en") -> Letter:
    return next(letter for letter in everything() if (letter.kind, letter.language, letter.sparse) == (kind, language, False))


def needed(*names: str) -> Tools:
    """The tools, if all of those named are there."""
    if missing := [name for name in names if getattr(found(), name) is None]:
        pytest.skip(f"{', '.join(missing)} missing: make letters-check installs what it needs")
    return found()


def whats(finding: Finding) -> str:
    return "\n".join(f"{fault.letter}: {fault.what}" for fault in finding.faults)


def test_every_kind_is_there_in_every_language_with_and_without_what_may_be_missing() -> None:
    assert {(letter.kind, letter.language, letter.sparse) for letter in everything()} == {
        (kind, language, sparse) for kind in LetterKind for language in languages() for sparse in (False, True)
    }
    assert {letter.kind for letter in some()} == set(LetterKind)
    assert {letter.language for letter in some()} == languages()


# What needs no tool


def test_bytes_are_clean() -> None:
    assert not whats(byte_rules.check(everything()))


def test_size_is_far_from_where_mail_programs_cut() -> None:
    assert not whats(markup.check_size(everything()))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"Hello", b"Hell\xc3\xb6", "not 7-bit clean"),
        (b"Hello", b"x" * 999, "characters"),
        (b"Hello", b"Hel\nlo", "CRLF"),
        (b"To: Anna", b"To: ,;<Anna", "To: InvalidHeaderDefect"),
        (b"--=_letter--", b"", "CloseBoundaryNotFoundDefect"),
    ],
)
def test_bytes_that_are_not_clean_are_noticed(old: bytes, new: bytes, said: str) -> None:
    assert said in "\n".join(byte_rules.faults_of(a_letter().content.replace(old, new, 1)))


def test_html_that_is_too_large_is_noticed() -> None:
    assert "octets of HTML" in whats(markup.check_size([replace(a_letter(), html="x" * 40_001)]))


# SpamAssassin


def test_no_letter_looks_like_spam() -> None:
    assert not whats(spam.check(some(), str(needed("spamassassin").spamassassin)))


def test_what_looks_like_spam_is_noticed() -> None:
    shouted = re.sub(rb"Subject: .*\r\n", b"Subject: VIAGRA $$$ ACT NOW\r\nX-Mailer: The Bat! (v1.52f) Business\r\n", a_letter().content)
    gtube = shouted.replace(b"Hello", b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n", 1)
    [(points, rules)] = spam.score([gtube], str(needed("spamassassin").spamassassin))
    assert points > spam.HIGHEST
    assert "GTUBE" in rules


# html-validate, caniemail, mailparser


def test_html_is_valid() -> None:
    assert not whats(markup.check(full(everything()), needed("node", "packages")))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("</h1>", "</h2>", "close-order"),
        ("<p ", '<p align="left" ', "no-deprecated-attr"),
        ("</main>", '<img src="x.png"></main>', "wcag/h37"),
        (' lang="en"', "", "element-required-attributes"),
        ("<p ", "<center></center><p ", "deprecated"),
    ],
)
def test_html_that_is_not_valid_is_noticed(old: str, new: str, rule: str) -> None:
    letter = a_letter()
    assert old in letter.html
    broken = replace(letter, html=letter.html.replace(old, new, 1))
    assert rule in whats(markup.check([broken], needed("node", "packages")))


def test_no_mail_program_lacks_what_a_letter_needs() -> None:
    assert not whats(programs.check(full(everything()), needed("node", "packages")))


def test_every_exception_is_still_one() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "DISPENSABLE", {})
        told = whats(programs.check(some(), needed("node", "packages")))
    unsupported = set(re.findall(r": (.+) is not known to ", told))
    assert unsupported == set(programs.DISPENSABLE)


def test_what_a_mail_program_lacks_is_noticed() -> None:
    letter = a_letter()
    fancy = replace(letter, html=letter.html.replace("</main>", '<p style="display:grid">x</p></main>'))
    told = whats(programs.check([fancy], needed("node", "packages")))
    assert "display:grid is not known to" in told
    assert "outlook windows" in told


def test_another_parser_reads_the_same() -> None:
    assert not whats(mail_reader.check(everything(), needed("node", "packages")))


def test_what_another_parser_reads_differently_is_noticed() -> None:
    letter = a_letter()
    told = whats(mail_reader.check([replace(letter, subject="Something else", text=letter.text + "more")], needed("node", "packages")))
    assert "subject is read as" in told
    assert "text is read as" in told


# Chromium


def test_letters_can_be_read_by_everybody_on_any_screen() -> None:
    there = needed("node", "packages", "chromium")
    seen = screens.check(some(), there, measured=[letter for letter in some() if letter.kind in MEASURED])
    assert [finding.check for finding in seen] == ["accessibility", "contrast", "layout", "facts"]
    assert not "".join(map(whats, seen))


def test_what_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    there = needed("node", "packages", "chromium")
    letter = a_letter()
    html = letter.html.replace("</main>", "<p>Only here <a href='https://evil.example/'>elsewhere</a></p></main>")
    html = html.replace("</main>", '<p style="color:#999999;font-size:12px">Faint</p><p style="width:900px">Wide</p></main>')
    html = html.replace("<title>", "<title></title><!--").replace("</title>", "</title>-->", 2).replace("-->", "", 1)
    html = html.replace("prefers-color-scheme: dark) {", "prefers-color-scheme: dark) { .content p { color: #333333 !important; }")
    accessibility, contrast, layout, facts = map(whats, screens.check([replace(letter, html=html)], there, pictures=tmp_path))
    assert "light: color-contrast" in accessibility
    assert "dark: color-contrast" in accessibility
    assert "light: " in contrast
    assert "dark: 1." in contrast
    assert "phone: " in layout
    assert "text of 12 pixels" in layout
    assert "stick out" in layout
    assert "only in the HTML: Faint Only Wide elsewhere here" in facts
    assert "evil.example" in facts
    assert {path.name for path in tmp_path.iterdir()} == {f"signed_out.en.{mode}.png" for mode in ("light", "dark", "inverted", "phone")}


def test_a_missing_tool_is_named_and_nothing_is_claimed() -> None:
    nothing = Tools(spamassassin=None, chromium=None, node=None, packages=None)
    assert len(nothing.missing()) == 4
    with pytest.raises(tools.ToolFailedError, match=r"Node\.js or its packages are missing"):
        nothing.run_node("html_validate.mjs")
