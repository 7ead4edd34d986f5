"""How numbers, times and addresses are written on a page. Each is a filter of the templates."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

DASH = "\N{EN DASH}"
MINUTE, HOUR, DAY = 60, 3600, 86_400
ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'=`]+@[^\s<>()\[\],;:\"'=`@]+")
"""What may be somebody's address in other people's words."""


def number(value: float | None) -> str:
    """Return a count with its thousands parted, or a rate with one digit behind the point."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"  # noqa: PLR2004 -- beyond that it is noise


def span(seconds: float | timedelta | None) -> str:
    """Return a length of time in the two units that matter: `12 s`, `3 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return DASH
    whole = max(0, round(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _two(whole // MINUTE, "min", whole % MINUTE if whole < 10 * MINUTE else 0, "s")
    if whole < DAY:
        return _two(whole // HOUR, "h", whole % HOUR // MINUTE, "min")
    return _two(whole // DAY, "d", whole % DAY // HOUR, "h")


def ago(when: datetime | str | None, now: datetime) -> str:
    """Return how long ago something was, or in how long it will be."""
    if when is None:
        return DASH
    seconds = (now - read(when)).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def moment(when: datetime | str | None, zone: str | None) -> Markup:
    """Return a `<time>`: in the operator's own zone, else in UTC, which the page's script turns into the browser's."""
    if when is None:
        return Markup("&ndash;")
    known = read(when).astimezone(UTC)
    shown = known.astimezone(ZoneInfo(zone)) if zone else known
    kept = Markup(" data-zone=kept") if zone else Markup("")
    text = f"{shown:%-d %b %Y, %H:%M:%S} {shown.tzname()}"
    return Markup('<time datetime="{}"{}>{}</time>').format(f"{known:%Y-%m-%dT%H:%M:%SZ}", kept, text)


def took(begins: datetime | str, ends: datetime | str | None) -> str:
    """Return how long something took; nothing where it goes on."""
    return DASH if ends is None else span(read(ends) - read(begins))


def read(when: datetime | str) -> datetime:
    """Return a moment that may come as JSON has it."""
    return datetime.fromisoformat(when) if isinstance(when, str) else when


def masked(address: str | None) -> str:
    """Return an address that its owner recognizes and nobody else can write to: `a…e@e…e.com`."""
    if not address:
        return DASH
    local, at, domain = address.rpartition("@")
    if not at:
        return _hide(address)
    label, dot, rest = domain.partition(".")
    return f"{_hide(local)}@{_hide(label)}{dot}{rest}"


def said(text: str | None) -> str:
    """Return what a relay or a program said, with the addresses in it masked."""
    return ADDRESS.sub(lambda found: masked(found[0]), text or "")


def share(part: float, whole: float) -> str:
    """Return a percentage; none where there is no whole."""
    if not whole:
        return DASH
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent in (0, 100) or percent >= 10 else f"{percent:.1f} %"  # noqa: PLR2004 -- two digits are enough


def plural(count: float, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first} {unit} {second} {smaller}" if second else f"{first} {unit}"


def _hide(text: str) -> str:
    return f"{text[:1]}…{text[-1:]}" if len(text) > 2 else f"{text[:1]}…"  # noqa: PLR2004 -- of two characters one says enough
