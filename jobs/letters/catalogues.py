"""The letters' sentences in other languages: one gettext file a language, read as it stands.

Adding a language is adding `email_templates/locales/<tag>.po`. English needs none: its sentences are the keys. A catalogue is compiled
in memory when its language is first asked for, so that no binary has to be kept beside its source.
"""

from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from jobs.letters.languages import FALLBACK

_FOLDER = files("email_templates") / "locales"


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """Return the tags (BCP 47) of all languages that letters can be written in, English among them."""
    return frozenset({FALLBACK, *(file.name.removesuffix(".po") for file in _FOLDER.iterdir() if file.name.endswith(".po"))})


@lru_cache(maxsize=64)
def translations(language: str) -> NullTranslations:
    """Return the catalogue of one of `languages()`; English has an empty one.

    Raises:
        ValueError: The file cannot be read as a catalogue; it is named, and why.
    """
    if language == FALLBACK:
        return NullTranslations()
    try:
        catalogue = read_po(BytesIO((_FOLDER / f"{language}.po").read_bytes()), locale=language.replace("-", "_"), abort_invalid=True)
    except ValueError as error:
        raise ValueError(f"email_templates/locales/{language}.po is broken: {error}") from error
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def direction(language: str) -> str:
    """Return `ltr` or `rtl`, as HTML's `dir` wants it."""
    return Locale.parse(language, sep="-").text_direction
