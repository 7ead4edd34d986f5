"""Which language a letter is written in, and which regional habits its dates follow.

Tags come from the main app in any shape (`de-AT`, `de_AT.UTF-8`, `zh-Hant-HK`, nonsense). The member's wish comes first, the
organization's second, English last; a letter is whole in one language. Matching is the lookup of RFC 4647 3.4: subtags are dropped
from the right until a catalogue fits.
"""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache

from babel import Locale, UnknownLocaleError

FALLBACK = "en"

_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7}")


def negotiate(*wishes: str | None, available: Collection[str]) -> str:
    """Return the tag in `available` that serves the first servable wish, else `FALLBACK`. Never raises."""
    spelled = {tag.lower(): tag for tag in available}
    for wish in wishes:
        for candidate in _ranges(wish):
            if candidate in spelled:
                return spelled[candidate]
    return FALLBACK


@lru_cache(maxsize=1024)
def regional(language: str, *wishes: str | None) -> Locale:
    """Return the locale to format with: the first wish that is in `language` and known to CLDR, else the language itself.

    So a letter in English to `en-GB` says `19 June 2025 at 14:05`. Never raises.
    """
    for wish in wishes:
        for candidate in _ranges(wish):
            if candidate.partition("-")[0] == language.partition("-")[0] and (locale := _known(candidate)):
                return locale
    return _known(language) or Locale(FALLBACK)


def _ranges(wish: str | None) -> Iterator[str]:
    """The wish in lower case, then ever shorter; nothing for what is no tag. POSIX names lose their encoding and modifier."""
    tag = re.split("[.@]", wish or "", maxsplit=1)[0].strip().replace("_", "-").lower()
    if not _TAG.fullmatch(tag):
        return
    subtags = tag.split("-")
    while subtags:
        yield "-".join(subtags)
        subtags.pop()
        if len(subtags) > 1 and len(subtags[-1]) == 1:  # a singleton introduces an extension and means nothing at the end
            subtags.pop()


def _known(tag: str) -> Locale | None:
    try:
        return Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return None
