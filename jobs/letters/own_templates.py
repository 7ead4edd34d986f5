"""Check a folder of templates that replaces single files of ours, before a letter is written with them.

A wrong name would silently replace nothing, an unknown variable would stop every letter of a kind in the middle of a run, and a sentence
without a translation would mix two languages in one letter. Each is said with the file it is in.
"""

from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

from jinja2 import TemplateSyntaxError, meta

from jobs.domain.letters import LetterKind
from jobs.letters.catalogues import BrokenCatalogue, languages, translations
from jobs.letters.contents import LETTERS, FactorLetter, Letter
from jobs.letters.languages import FALLBACK
from jobs.letters.sentences import sentences_of
from jobs.letters.templates import environment

CATALOGUES = "locales/"


def faults(folder: Path) -> Iterator[str]:
    """Say what is wrong with the files in `folder`, one line a fault, in the order of their names. Hidden files are left alone."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        found = _faults_of_catalogue(folder, name) if name.startswith(CATALOGUES) else _faults_of_template(folder, name)
        yield from (f"{name}: {fault}" for fault in found)


def _faults_of_catalogue(folder: Path, name: str) -> Iterator[str]:
    language = name.removeprefix(CATALOGUES).removesuffix(".po")
    if not name.endswith(".po") or language not in languages():
        yield f"letters are written in {', '.join(sorted(languages()))}; a catalogue is called by one of these and .po"
        return
    try:
        translations(language, folder)
    except BrokenCatalogue as broken:
        yield str(broken)


def _faults_of_template(folder: Path, name: str) -> Iterator[str]:
    if name not in _names():
        yield f"replaces nothing; the files are {', '.join(sorted(_names()))}"
        return
    try:
        source = (folder / name).read_text("utf-8")
        tree = environment(FALLBACK).parse(source, name)
        environment(FALLBACK).compile(source, name)
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    except UnicodeDecodeError:
        yield "is not UTF-8"
        return
    given = {field.name for field in fields(_letter(name))} | set(environment(FALLBACK).globals)
    for unknown in sorted(meta.find_undeclared_variables(tree) - given):
        yield f"{unknown} is not a variable of this letter; there are {', '.join(sorted(field.name for field in fields(_letter(name))))}"
    for other in meta.find_referenced_templates(tree):
        if other not in _names():
            yield f"{other} does not exist"
    yield from _untranslated(folder, source)


def _untranslated(folder: Path, source: str) -> Iterator[str]:
    for language in sorted(languages() - {FALLBACK}):
        try:
            catalogue = translations(language, folder)
        except BrokenCatalogue:  # said at its own file
            continue
        for sentence in sentences_of(source):
            if catalogue.gettext(sentence) == sentence and catalogue.ngettext(sentence, "", 1) == sentence:
                yield f"“{sentence}” has no translation in locales/{language}.po"


def _letter(name: str) -> type[Letter]:
    """The dataclass behind a file; what all letters share for one that they all use."""
    folder = name.split("/", maxsplit=1)[0]
    if name.startswith("_base/factor."):
        return FactorLetter
    return LETTERS[LetterKind(folder)] if folder in set(LetterKind) else Letter


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(name for name in environment(FALLBACK).list_templates() if name.endswith((".txt", ".html", ".css")))
