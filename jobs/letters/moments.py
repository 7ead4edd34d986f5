"""Say when something happened, as somebody reads it where they are: local time with the zone's name, and UTC for whoever compares.

The zone is the member's, else the organization's, else UTC. Names of zones come from the main app and may be anything: only names of
the IANA database are looked up, so that none can become a path.
"""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format, get_timezone_name

_HOST_DEPENDENT = frozenset({"localtime", "Factory"})
_UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Zulu", "Etc/Zulu", "UCT", "Etc/UCT", "Universal", "Etc/Universal"})


@lru_cache(maxsize=1024)
def zone(*wishes: str | None) -> tzinfo:
    """Return the first wished zone that exists, else UTC. Never raises."""
    for wish in wishes:
        if wish in _UTC_NAMES:
            return UTC
        if wish in _zones():
            return ZoneInfo(wish)
    return UTC


@lru_cache(maxsize=4096)
def in_words(moment: datetime, where: tzinfo, locale: Locale) -> str:
    """Return `moment` such as `June 19, 2025 at 2:05 PM Central European Summer Time (12:05 PM UTC)`.

    `moment` is aware. The date is repeated for UTC where it is another day there; in UTC itself there is one time only.
    """
    universal = moment.astimezone(UTC)
    if where is UTC:
        return f"{_date_and_time(universal, locale)} UTC"
    local = moment.astimezone(where)
    same_day = local.date() == universal.date()
    in_utc = _time(universal, locale) if same_day else _date_and_time(universal, locale)
    return f"{_date_and_time(local, locale)} {_zone_name(local, locale)} ({in_utc} UTC)"


def _date_and_time(moment: datetime, locale: Locale) -> str:
    pattern = re.sub("'([^']*)'", r"\1", str(get_datetime_format("long", locale=locale)))
    return pattern.format(_time(moment, locale), format_date(moment, "long", locale=locale))


def _time(moment: datetime, locale: Locale) -> str:
    # CLDR's narrow no-break space shows as a box in older mail programs; the ordinary one is everywhere.
    return format_time(moment, "short", tzinfo=moment.tzinfo, locale=locale).replace("\u202f", "\u00a0")


def _zone_name(moment: datetime, locale: Locale) -> str:
    return get_timezone_name(moment, width="long", locale=locale)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _HOST_DEPENDENT
