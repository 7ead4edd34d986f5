"""How one member is spoken to: the language of the letter, the habits and the zone of its dates.

Each falls back on its own, member, organization, then English and UTC, so that a bad time zone costs nobody their language.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from babel import Locale

from jobs.letters import moments
from jobs.letters.catalogues import languages
from jobs.letters.languages import negotiate, regional


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A language that letters exist in, and how its dates are written."""

    language: str
    locale: Locale
    zone: tzinfo

    def when(self, moment: datetime) -> str:
        """Return an aware moment in words: local time, zone and UTC."""
        return moments.in_words(moment, self.zone, self.locale)


@lru_cache(maxsize=4096)
def voice(locale: str | None, organization_locale: str | None, time_zone: str | None, organization_time_zone: str | None) -> Voice:
    """Return how to speak to a member with these wishes. Never raises."""
    language = negotiate(locale, organization_locale, available=languages())
    return Voice(
        language=language, locale=regional(language, locale, organization_locale), zone=moments.zone(time_zone, organization_time_zone)
    )
