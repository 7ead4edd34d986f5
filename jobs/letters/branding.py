"""Whose letters these are: name, colours, legal line and, if need be, templates of one's own. All of it checked at start.

A letter that nobody can read, or that misses a fact, is worse than one without a logo, so what does not hold is refused before the
first letter is written, with every fault at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jobs.domain.addresses import Unaddressable, to_mailbox
from jobs.domain.names import clean_name
from jobs.letters import own_templates
from jobs.letters.colours import DARK, LIGHT, Palette

LONGEST_NAME = 60
LONGEST_LEGAL_LINE = 300


class Unbranded(ValueError):  # noqa: N818 - named by what happens next, as every error here
    """A branding is not fit to be used. `faults` lists every reason, one line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The letters' branding has faults:\n" + "\n".join(f"  - {fault}" for fault in faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Branding:
    """What one may change without touching code.

    Raises:
        Unbranded: A colour, address or text does not hold, or a template cannot be used.
    """

    product_name: str | None = None
    """What members call the app they sign in to; by default the host of `APP_URL`."""
    logo_text: str | None = None
    """The line at the top of the HTML; by default the product's name."""
    light: Palette = LIGHT
    dark: Palette = DARK
    support_address: str | None = None
    """Where members may write to; comes after what the organization offers."""
    legal_line: str | None = None
    """Company, register, address: the last line of a letter."""
    templates: Path | None = None
    """A folder laid out as `email_templates`; a file in it replaces the one of the same name, all others stay.
    Sentences of its own are translated in its own `locales/<tag>.po`."""

    @classmethod
    def read(cls, words: Mapping[str, str]) -> Self:
        """Return the branding that words describe, as an environment has them; what is not named keeps its default.

        `colours` and `dark_colours` change single colours (`Palette.changed`); every other key is a field's name.

        Raises:
            Unbranded: With every fault at once.
        """
        light, faults = _palette(LIGHT, words, "colours", "light colours")
        dark, more = _palette(DARK, words, "dark_colours", "dark colours")
        plain = {name: words.get(name) for name in ("product_name", "logo_text", "support_address", "legal_line")}
        folder = words.get("templates")
        try:
            made = cls(**plain, light=light, dark=dark, templates=Path(folder) if folder else None)
        except Unbranded as unfit:
            raise Unbranded([*faults, *more, *unfit.faults]) from None
        if faults or more:
            raise Unbranded([*faults, *more])
        return made

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise Unbranded(faults)

    def _faults(self) -> Iterator[str]:
        yield from (f"light colours: {fault}" for fault in self.light.faults())
        yield from (f"dark colours: {fault}" for fault in self.dark.faults())
        for name, limit in (("product_name", LONGEST_NAME), ("logo_text", LONGEST_NAME), ("legal_line", LONGEST_LEGAL_LINE)):
            value = getattr(self, name)
            if value is not None and (not clean_name(value, limit) or len(value) > limit or not value.isprintable()):
                yield f"{name} must be one visible line of at most {limit} characters"
        if self.support_address is not None:
            try:
                to_mailbox(self.support_address)
            except Unaddressable:
                yield f"support_address must be an email address such as help@example.com, not {self.support_address!r}"
        if self.templates is not None and not self.templates.is_dir():
            yield f"templates: {self.templates} is not a folder"
        elif self.templates is not None:
            yield from (f"templates: {fault}" for fault in own_templates.faults(self.templates))


def _palette(base: Palette, words: Mapping[str, str], key: str, name: str) -> tuple[Palette, list[str]]:
    try:
        return base.changed(words.get(key, "")), []
    except ValueError as unknown:
        return base, [f"{name}: {fault}" for fault in unknown.args]
