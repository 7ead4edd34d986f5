"""The letters' colours, and the contrast that keeps them readable.

Mail programs show a letter light, dark, or with every colour turned into its opposite, so each pair of text and ground has to hold
in all of them. Contrast is computed as WCAG 2.2 defines it (1.4.3); 4.5 is its limit for text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

LEAST_CONTRAST = 4.5

_LINEAR_UNTIL = 0.04045  # sRGB, IEC 61966-2-1

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours as `#rrggbb`. Text stands on the page (footer) and on the card (all else)."""

    page: str
    card: str
    text: str
    quiet: str
    """Labels and the footer."""
    line: str
    link: str
    button: str
    on_button: str

    def changed(self, text: str) -> Self:
        """Return this palette with what `link=#7a1fa2, button=#7a1fa2` names in place of its own. Colours are judged by `faults`.

        Raises:
            ValueError: A name that no colour here has, or no name; every one of them, an argument each.
        """
        pairs = [(name.strip(), value.strip()) for name, _, value in (pair.partition("=") for pair in text.split(",") if pair.strip())]
        names = {field.name for field in fields(self)}
        if unknown := [name for name, _ in pairs if name not in names]:
            raise ValueError(*(f"{name!r} is none of {', '.join(sorted(names))}; write link=#1c54c4, button=#1c54c4" for name in unknown))
        return replace(self, **dict(pairs))

    def faults(self) -> Iterator[str]:
        """Say what makes this palette unfit: what is no colour, else which pair is too faint, as it is or inverted."""
        unknown = [field.name for field in fields(self) if not _HEX.fullmatch(getattr(self, field.name))]
        yield from (f"{name} must be a colour such as #1c54c4, not {getattr(self, name)!r}" for name in unknown)
        if unknown:
            return
        for text, ground in (("text", "card"), ("quiet", "card"), ("link", "card"), ("quiet", "page"), ("on_button", "button")):
            front, back = getattr(self, text), getattr(self, ground)
            least = min(contrast(front, back), contrast(inverted(front), inverted(back)))
            if least < LEAST_CONTRAST:
                yield f"{text} {front} on {ground} {back} has a contrast of {least:.2f}; at least {LEAST_CONTRAST} is needed, also inverted"


LIGHT = Palette(
    page="#f2f4f7", card="#ffffff", text="#1a2233", quiet="#505a6b", line="#d8dde5", link="#1c54c4", button="#1c54c4", on_button="#ffffff"
)
DARK = Palette(
    page="#12161e", card="#1c222d", text="#edf0f5", quiet="#b3bccb", line="#3a4352", link="#93b8ff", button="#2f66d6", on_button="#ffffff"
)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def inverted(colour: str) -> str:
    """Return the colour with every channel turned into its opposite."""
    return f"#{0xFFFFFF - int(colour[1:], 16):06x}"


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= _LINEAR_UNTIL else ((channel + 0.055) / 1.055) ** 2.4
