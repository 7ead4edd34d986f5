"""Read a gettext file (.po) and refuse what tools pass over: a sentence that is lost that way is only missed in a member's letter.

Every fault is told with its line. No header is no fault in a file without plurals; it is in UTF-8 either way.
"""

import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.plurals import get_plural
from babel.messages.pofile import PoFileError, PoFileParser

_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr|msgstr\[\d\])\s+)?"(?:[^"\\]|\\.)*"')
_FOLLOWS = {
    "msgctxt": {"", "msgstr", "msgstr[]"},
    "msgid": {"", "msgctxt", "msgstr", "msgstr[]"},
    "msgid_plural": {"msgid"},
    "msgstr": {"msgid"},
    "msgstr[]": {"msgid_plural", "msgstr[]"},
}
_PLURALS = re.compile(r'^"Plural-Forms:([^"]*)"', re.MULTILINE)
_PLURAL = re.compile(r"^\s*msgid_plural", re.MULTILINE)
_NUMBER_OF_PLURALS = re.compile(r"\s*nplurals=\d{1,2};\s*plural=.+;")
_PLACEHOLDER = re.compile(r"%\(([a-z_]+)\)s")


def read_catalogue(octets: bytes, language: str) -> Catalog:
    """Return what a file for `language` (BCP 47) says.

    Raises:
        ValueError: Something in it can't be used; it says which line, and what is the matter.
    """
    text = _decoded(octets)
    _check_lines(text)
    _check_plurals(text)
    catalogue = _Catalogue(locale=language.replace("-", "_"))
    try:
        PoFileParser(catalogue, ignore_obsolete=True, abort_invalid=True).parse(StringIO(text))
    except PoFileError as error:  # its own words count lines from nought
        raise ValueError(f"line {error.lineno + 1}: {str(error).rpartition(' on ')[0]}") from None
    _check_header(catalogue, language)
    for message in catalogue:
        if message.id and (fault := next(_faults(message, catalogue.num_plurals), None)):
            raise ValueError(f"line {message.lineno}: {fault}")
    return catalogue


class _Catalogue(Catalog):
    """One that does not let a second translation of a sentence take the place of the first."""

    def __setitem__(self, id: Any, message: Message) -> None:  # noqa: A002 -- Babel's name
        if message.id and (first := self.get(id, message.context)):
            raise ValueError(f"line {message.lineno}: “{_forms(message.id)[0]}” stands in line {first.lineno} already")
        super().__setitem__(id, message)


def _decoded(octets: bytes) -> str:
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: this is not text in UTF-8; save it as such") from None


def _check_lines(text: str) -> None:
    """Refuse what is no line of such a file, such as one whose quote is not closed, and lines in another order than they belong."""
    before = ""
    for number, line in enumerate(text.rstrip().split("\n"), start=1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if not (found := _LINE.fullmatch(said)):
            raise ValueError(f'line {number}: this is no comment (#), no keyword and "text", and no "text": {said[:60]}')
        keyword = re.sub(r"\d", "", found[1] or "")
        if (keyword and before not in _FOLLOWS[keyword]) or not (keyword or before):
            raise ValueError(f"line {number}: {found[1] or 'a text'} can't stand after {before or 'nothing'}")
        before = keyword or before
    if before and not before.startswith("msgstr"):
        raise ValueError(f"line {number}: the last sentence has no msgstr")


def _check_plurals(text: str) -> None:
    """Refuse plurals that are not said to be plurals of what: the order of the forms is a convention, of which some languages have two."""
    stated = _PLURALS.search(text)
    if stated and not _NUMBER_OF_PLURALS.match(stated[1]):
        raise ValueError("its header has a Plural-Forms that can't be read; it is written nplurals=2; plural=(n != 1);")
    if not stated and (plural := _PLURAL.search(text)):
        line = text.count("\n", 0, plural.start()) + 1
        raise ValueError(f"line {line}: a sentence with plural forms needs a header that has Plural-Forms")


def _check_header(catalogue: Catalog, language: str) -> None:
    if catalogue.charset not in ("utf-8", "utf8", "ascii", "us-ascii"):
        raise ValueError(f"its header says charset={catalogue.charset}; save it in UTF-8, and say so there")
    wanted = get_plural(language.replace("-", "_")).num_plurals
    if catalogue.num_plurals != wanted:
        raise ValueError(f"its header says nplurals={catalogue.num_plurals}; {language} has {wanted} (CLDR)")


def _faults(message: Message, plurals: int) -> Iterator[str]:
    forms = _forms(message.string)
    if message.fuzzy:
        yield f"“{_forms(message.id)[0]}” is marked fuzzy: look at its translation, and take the mark away"
    if any(forms) and not all(forms):
        yield f"“{_forms(message.id)[0]}” has {sum(map(bool, forms))} of its {plurals} plural forms"
    yield from _unfit(message, [form for form in forms if form])


def _unfit(message: Message, forms: list[str]) -> Iterator[str]:
    """Say which sentences could not be filled in, each in the middle of a run, and which leave out what they should say."""
    known = set(_PLACEHOLDER.findall(" ".join(_forms(message.id))))
    places = ", ".join(f"%({name})s" for name in sorted(known)) or "no placeholder"
    for form in forms:
        if set(_PLACEHOLDER.findall(form)) - known or "%" in _PLACEHOLDER.sub("", form).replace("%%", ""):
            yield f"“{form}” cannot be filled in; its sentence has {places}, and a per cent sign is written %%"
    # “One session” may say its number in a word; what stands for all other numbers may not.
    if forms and set(_PLACEHOLDER.findall(forms[-1])) != known:
        yield f"“{forms[-1]}” leaves something out; its sentence has {places}"


def _forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())
