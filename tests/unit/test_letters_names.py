"""Names are hostile text; what comes out is one visible line that nothing links."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.domain import names
from jobs.domain.names import clean_name
from tests.unit.letters_hostile import HOSTILE


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Acme", "Acme"),
        ("  Acme \t\n Inc.  ", "Acme Inc."),
        ("J.P. Morgan", "J.P. Morgan"),
        ("St. Mary's", "St. Mary's"),
        ("Sportverein e.V.", "Sportverein e.V."),
        ("モーニング娘。", "モーニング娘。"),
        ("Zoe\u0308", "Zoë"),
        ("شركة الأمل", "شركة الأمل"),
        ("Ben & Jerry <3", "Ben & Jerry <3"),
        ("evil.example", "evil. example"),
        ("see https://evil.example/x", "see https: //evil. example/x"),
        ("a@evil.example", "a@ evil. example"),
        ("evil．example", "evil． example"),  # noqa: RUF001 - the full-width stop is the point
        ("evil.भारत", "evil. भारत"),
        ("www.xn--e1afmkfd.xn--p1ai", "www. xn--e1afmkfd. xn--p1ai"),
        ("x\u200b.\u200bexample", "x. example"),
        ("=?utf-8?q?=0d=0a?=", "= ?utf-8?q?=0d=0a?="),
        (None, ""),
        ("", ""),
        ("\u200b \u202e\r\n", ""),
    ],
)
def test_a_name_becomes_one_visible_unlinked_line(name: str | None, cleaned: str) -> None:
    assert clean_name(name, 60) == cleaned


def test_a_long_name_ends_in_an_ellipsis_within_the_limit() -> None:
    assert clean_name("W" * 10_000, 12) == "W" * 11 + "…"
    assert clean_name("Acme and Company", 6) == "Acme…"


def test_a_cut_never_parts_a_letter_from_its_mark_or_a_flag_in_halves() -> None:
    assert clean_name("aaaab\u0323\u0304c", 6) == "aaaa…"
    assert clean_name("aaa👍🏽bcdef", 5) == "aaa…"
    assert clean_name("🇩🇪🇫🇷🇯🇵", 4) == "🇩🇪…"


def test_marks_do_not_pile_up() -> None:
    assert len(clean_name(HOSTILE["stacked marks"], 60)) <= 1 + names._MOST_MARKS


LINKED = re.compile(r"\w\.\w{2}|\w:/|\S@\w")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_name_is_harmless(name: str) -> None:
    assert_harmless(clean_name(name, 40))


@given(
    st.one_of(st.text(max_size=300), st.text("=?.@:/\\ax\u0301\u200b\u202e\ufe0f🇩👍🏽\r\n \u1100\u1161", max_size=60)), st.integers(2, 80)
)
@settings(max_examples=600)
def test_any_name_is_harmless_and_cleaning_it_again_changes_nothing(name: str, limit: int) -> None:
    cleaned = clean_name(name, limit)
    assert len(cleaned) <= limit
    assert_harmless(cleaned)
    assert clean_name(cleaned, limit) == cleaned


def assert_harmless(cleaned: str) -> None:
    assert cleaned == " ".join(cleaned.split())
    assert not {unicodedata.category(character) for character in cleaned} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not set(cleaned) & set("\u3164\u115f\u2800\uffa0\ufe0f\u180b\u034f")
    assert not LINKED.search(cleaned)
    assert "=?" not in cleaned


def test_the_quick_pattern_knows_only_what_cleaning_would_leave_alone() -> None:
    for character in map(chr, range(0x10000)):
        if names._PLAIN.fullmatch(character):
            assert names._inert(names._visible(character)) == character
