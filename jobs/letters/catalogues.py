"""The letters' sentences in other languages: one gettext file a language, read as it stands.

Adding a language is adding `email_templates/locales/<tag>.po`. English needs none: its sentences are the keys. A catalogue is compiled
in memory when its language is first asked for, so that no binary has to be kept beside its source.
"""

from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo

from jobs.letters.gettext_files import read_catalogue
from jobs.letters.languages import FALLBACK


class BrokenCatalogue(ValueError):  # noqa: N818 - named by what happens next, as every error here
    """A file of translations cannot be used."""

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        super().__init__(f"{file} is no usable catalogue: {reason}")


_FOLDER = files("email_templates") / "locales"


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """Return the tags (BCP 47) of all languages that letters can be written in, English among them."""
    return frozenset({FALLBACK, *(file.name.removesuffix(".po") for file in _FOLDER.iterdir() if file.name.endswith(".po"))})


@lru_cache(maxsize=64)
def translations(language: str, own: Path | None = None) -> NullTranslations:
    """Return the catalogue of one of `languages()`; English has an empty one. Every sentence in it can be filled in.

    `own` is a folder like `email_templates`; sentences in its `locales` come first, those of the package behind them.

    Raises:
        BrokenCatalogue: A file cannot be read as a catalogue.
    """
    package = _compiled(_FOLDER / f"{language}.po", language)
    if own is None:
        return package
    first = _compiled(own / "locales" / f"{language}.po", language)
    first.add_fallback(package)
    return first


def load_all() -> None:
    """Load every catalogue of the package, so that a broken one is known before a run and not in the middle of it.

    Raises:
        BrokenCatalogue: A file cannot be read as a catalogue.
    """
    for language in languages():
        translations(language)


def _compiled(file: Traversable, language: str) -> NullTranslations:
    if not file.is_file():
        return NullTranslations()
    try:
        compiled = BytesIO()
        write_mo(compiled, read_catalogue(file.read_bytes(), language))
        compiled.seek(0)
        return GNUTranslations(compiled)
    except ValueError as error:
        raise BrokenCatalogue(str(file), str(error)) from error


def direction(language: str) -> str:
    """Return `ltr` or `rtl`, as HTML's `dir` wants it."""
    return Locale.parse(language, sep="-").text_direction
