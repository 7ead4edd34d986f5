"""Collect every sentence that can be translated, for whoever adds or tends a language.

    python -m jobs.letters fr > /tmp/fr.po && mv /tmp/fr.po email_templates/locales/fr.po

prints the catalogue of a language brought up to date: new sentences with an empty translation, dropped ones left out, what is already
translated kept. A test compares the catalogues with this.
"""

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "_marked": None}
_OPTIONS = {"trimmed": "true"}
_WIDTH = 120


def collect() -> Catalog:
    """Return a catalogue of all sentences, each with the files it stands in, none translated."""
    catalogue = Catalog(project="Portcullis letters", fuzzy=False)
    for folder in ("email_templates", "jobs.letters"):
        for name, file in _sources(files(folder)):
            for sentence in _extracted(name, file):
                catalogue.add(sentence, locations=[(f"{folder.replace('.', '/')}/{name}", 0)])
    return catalogue


def sentences_of(source: str) -> set[str]:
    """Return the sentences of a template's source; of one that counts, the singular, which is its key."""
    found = extract("jinja2.ext:babel_extract", BytesIO(source.encode("utf-8")), KEYWORDS, options=_OPTIONS)
    return {sentence if isinstance(sentence, str) else sentence[0] for _, sentence, _, _ in found}


def updated(language: str) -> bytes:
    """Return the catalogue file of a language with exactly today's sentences."""
    file = files("email_templates") / "locales" / f"{language}.po"
    locale = language.replace("-", "_")
    catalogue = read_po(BytesIO(file.read_bytes()), locale=locale) if file.is_file() else Catalog(locale=locale, fuzzy=False)
    catalogue.header_comment = f"# The letters' sentences in {catalogue.locale.english_name if catalogue.locale else language}."
    catalogue.update(collect(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    written = BytesIO()
    write_po(written, catalogue, width=_WIDTH, include_lineno=False, omit_header=False)
    # The time of writing would make every update a change of its own.
    return re.sub(
        rb'"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team|Report-Msgid-Bugs-To):.*\\n"\n',
        b"",
        written.getvalue(),
    )


def _sources(folder: Traversable, within: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _sources(entry, f"{within}{entry.name}/")
        elif entry.name.endswith((".html", ".txt", ".py")):
            yield f"{within}{entry.name}", entry


def _extracted(name: str, file: Traversable) -> Iterator[str | tuple[str, ...]]:
    method = "python" if name.endswith(".py") else "jinja2.ext:babel_extract"
    for _, sentence, _, _ in extract(method, BytesIO(file.read_bytes()), KEYWORDS, options=_OPTIONS):
        yield sentence
