"""Looks are checked at start: what cannot be read, or misses a fact, is refused before the first letter."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.letters.branding import Branding, Unbranded
from jobs.letters.colours import DARK, LIGHT, contrast, inverted


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#ffffff", "#ffffff", 1.0), ("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59)],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert round(contrast(one, other), 2) == round(contrast(other, one), 2) == ratio


def test_an_inverted_colour_is_its_opposite() -> None:
    assert inverted("#1c54c4") == "#e3ab3b"
    assert inverted("#fffffe") == "#000001"


def test_our_own_colours_hold() -> None:
    assert not [*LIGHT.faults(), *DARK.faults()]
    assert Branding() == Branding(light=LIGHT, dark=DARK)


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345", "1c54c4", "#1c54cg", "", "#1c54c4;}", "url(x)"])
def test_an_unknown_colour_is_refused_by_its_name(colour: str) -> None:
    with pytest.raises(Unbranded, match=r"light colours: link must be a colour such as #1c54c4"):
        Branding(light=replace(LIGHT, link=colour))


def test_what_is_too_faint_is_refused_with_the_figure() -> None:
    with pytest.raises(Unbranded, match=r"light colours: on_button #ffffff on button #ff9900 has a contrast of 2\.14"):
        Branding(light=replace(LIGHT, button="#ff9900"))


def test_what_is_too_faint_only_when_inverted_is_refused_too() -> None:
    palette = replace(LIGHT, quiet="#707070", page="#f7f7f7")
    assert contrast(palette.quiet, palette.page) >= 4.5
    assert list(replace(palette, quiet="#6f6f6f", page="#f0f0ff").faults())


def test_all_faults_come_at_once() -> None:
    with pytest.raises(Unbranded) as caught:
        Branding(
            product_name="\u200b",
            logo_text="x" * 61,
            legal_line="two\nlines",
            support_address="nobody",
            light=replace(LIGHT, text="#ffffff"),
            dark=replace(DARK, card="?"),
            templates=Path("/nowhere/at/all"),
        )
    assert [fault.split(":")[0].split(" must")[0] for fault in caught.value.faults] == [
        *["light colours", "dark colours", "product_name", "logo_text", "legal_line", "support_address", "templates"]
    ]
