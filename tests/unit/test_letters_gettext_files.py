"""A catalogue with something wrong in it is refused with the line; what Babel and gettext pass over would be missing in a letter."""

import re
from pathlib import Path

import pytest

from jobs.letters.catalogues import BrokenCatalogue, translations

HELLO = 'msgid "Hello,"\nmsgstr "Hallo,"\n'
HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
DAYS = 'msgid "%(number)s day"\nmsgid_plural "%(number)s days"\n'


def folder_with(tmp_path: Path, octets: bytes, language: str = "de") -> Path:
    (tmp_path / "locales").mkdir()
    (tmp_path / "locales" / f"{language}.po").write_bytes(octets)
    return tmp_path


BROKEN = {
    "an unclosed quote": (
        'msgid "Hello,"\nmsgstr "Hallo,\n',
        'line 2: this is no comment (#), no keyword and "text", and no "text": msgstr',
    ),
    "an unclosed quote in a text that goes on": ('msgid ""\n"Hello,\nmsgstr "Hallo,"\n', "line 2: this is no comment"),
    "a quote that is not escaped": ('msgid "Hello,"\nmsgstr "Hallo "du","\n', "line 2: this is no comment"),
    "a backslash before the last quote": ('msgid "Hello,"\nmsgstr "Hallo,\\"\n', "line 2: this is no comment"),
    "text without quotes": ('msgid "Hello,"\nGuten Tag\n', "line 2: this is no comment"),
    "an unknown keyword": ('msgid "Hello,"\nmsgstring "Hallo,"\n', "line 2: this is no comment"),
    "no translation at the end": (HELLO + '\nmsgid "Bye"\n', "line 4: the last sentence has no msgstr"),
    "no translation in between": ('msgid "Hello,"\nmsgid "Bye"\nmsgstr "Ade"\n', "line 2: msgid can't stand after msgid"),
    "a translation of nothing": ('msgstr "Hallo,"\n', "line 1: msgstr can't stand after nothing"),
    "two translations": (HELLO + 'msgstr "Servus,"\n', "line 3: msgstr can't stand after msgstr"),
    "a text before everything": ('"Hallo,"\n' + HELLO, "line 1: a text can't stand after nothing"),
    "a sentence that stands there twice": (HELLO + "\n" + HELLO, "line 4: “Hello,” stands in line 1 already"),
    "a fuzzy translation": ("# why\n#, fuzzy\n" + HELLO, "line 3: “Hello,” is marked fuzzy"),
    "a plural form that is missing": (
        HEADER + DAYS + 'msgstr[0] "%(number)s Tag"\n',
        "line 6: “%(number)s day” has 1 of its 2",
    ),
    "a plural form too many": (
        HEADER + DAYS + "".join(f'msgstr[{n}] "%(number)s"\n' for n in range(3)),
        "line 6: msg has more translations than num_plurals of catalog",
    ),
    "a plural form that is empty": (HEADER + DAYS + 'msgstr[0] "%(number)s Tag"\nmsgstr[1] ""\n', "1 of its 2 plural forms"),
    "a plural and no header": (DAYS + 'msgstr[0] "ein"\nmsgstr[1] "%(number)s"\n', "line 2: a sentence with plural forms needs a header"),
    "a plural with one translation": (DAYS + 'msgstr "%(number)s Tage"\n', "line 3: msgstr can't stand after msgid_plural"),
    "a header with too few plurals": (HEADER.replace("nplurals=2; plural=(n != 1)", "nplurals=1; plural=0"), "nplurals=1; de has 2 (CLDR)"),
    "a header whose plurals can't be read": (HEADER.replace("nplurals=2", "nplurals="), "a Plural-Forms that can't be read"),
    "a header whose plural is no expression": (HEADER.replace("(n != 1)", "(n !="), "unexpected end of plural form"),
    "a header with another charset": (HEADER.replace("utf-8", "iso-8859-1"), "its header says charset=iso-8859-1; save it in UTF-8"),
    "a header with an unknown charset": (HEADER.replace("utf-8", "klingon"), "its header says charset=klingon"),
    "another placeholder": ('msgid "Hi %(name)s"\nmsgstr "Hi %(nmae)s"\n', "line 1: “Hi %(nmae)s” cannot be filled in"),
    "a placeholder that is left out": (
        'msgid "Hi %(name)s"\nmsgstr "Hi"\n',
        "line 1: “Hi” leaves something out; its sentence has",
    ),
    "a placeholder without its s": ('msgid "Hi %(name)s"\nmsgstr "Hi %(name)"\n', "line 1: “Hi %(name)” cannot be filled in"),
    "a bare per cent sign": ('msgid "Hello,"\nmsgstr "100 % hallo,"\n', "a per cent sign is written %%"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    text, said = BROKEN[name]
    with pytest.raises(BrokenCatalogue, match=r"locales/de\.po is no usable catalogue: .*" + re.escape(said)):
        translations("de", folder_with(tmp_path, text.encode()))


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (bytes(range(256)), 2),
        (HELLO.encode() + 'msgid "Bye"\nmsgstr "Tschüß"\n'.encode("latin-1"), 4),
        (HELLO.encode("utf-16"), 1),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), 1),
    ],
    ids=["every octet", "latin-1", "utf-16", "a picture"],
)
def test_what_is_no_text_is_named_with_its_line(octets: bytes, line: int, tmp_path: Path) -> None:
    with pytest.raises(BrokenCatalogue, match=rf"locales/de\.po is no usable catalogue: line {line}: "):
        translations("de", folder_with(tmp_path, octets))


FINE = {
    "no header": HELLO,
    "a header": HEADER + HELLO,
    "a header that is marked fuzzy, as tools begin one": "#, fuzzy\n" + HEADER + HELLO,
    "a mark of byte order": "\ufeff" + HELLO,
    "lines of another system": HELLO.replace("\n", "\r\n"),
    "something obsolete": HELLO + '#~ msgid "Bye %(name)s"\n#~ msgstr "Ade"\n',
    "several lines, and escapes": 'msgid ""\n"Hel"\n"lo,"\nmsgstr ""\n"Hal"\n"lo,"\n\nmsgid "A \\"b\\" \\\\"\nmsgstr "C \\"d\\" \\\\"\n',
    "something not translated yet": HEADER + HELLO + '\nmsgid "Bye"\nmsgstr ""\n\n' + DAYS + 'msgstr[0] ""\nmsgstr[1] ""\n',
    "a number in a word": HEADER + HELLO + "\n" + DAYS + 'msgstr[0] "ein Tag"\nmsgstr[1] "%(number)s Tage"\n',
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_is_read(name: str, tmp_path: Path) -> None:
    assert translations("de", folder_with(tmp_path, FINE[name].encode())).gettext("Hello,") == "Hallo,"
