"""Which language, which habits, which time: everything falls back, nothing raises."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from jobs.letters.languages import negotiate, regional
from jobs.letters.moments import in_words, zone
from jobs.letters.voice import voice

AVAILABLE = frozenset({"en", "de", "zh-Hant", "ar"})
NOON = datetime(2025, 6, 19, 12, 5, tzinfo=UTC)
NONSENSE = ["", " ", "../../etc/passwd", "x" * 10_000, "de\x00", "\u202e", "-", "_", "klingon", "d", "en_", "{{x}}", "%s", "C", "POSIX"]


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (["de"], "de"),
        (["de-AT"], "de"),
        (["DE_at.UTF-8@euro"], "de"),
        (["zh-Hant-HK"], "zh-Hant"),
        (["ZH_HANT"], "zh-Hant"),
        (["zh-Hans"], "en"),
        (["zh"], "en"),
        (["de-1996-x-private"], "de"),
        (["fr", "de"], "de"),
        ([None, "ar-EG"], "ar"),
        (["nl", None], "en"),
        ([], "en"),
    ],
)
def test_the_first_servable_wish_wins_then_english(wishes: list[str | None], language: str) -> None:
    assert negotiate(*wishes, available=AVAILABLE) == language


@given(st.lists(st.one_of(st.none(), st.text(max_size=40), st.sampled_from(NONSENSE)), max_size=4))
def test_any_wishes_end_in_a_voice(wishes: list[str | None]) -> None:
    assert negotiate(*wishes, available=AVAILABLE) in AVAILABLE
    assert isinstance(regional("en", *wishes), Locale)
    assert zone(*wishes) is not None
    assert voice(*(wishes + [None] * 4)[:4]).when(NOON)


def test_dates_follow_the_region_of_whoever_reads() -> None:
    assert in_words(NOON, zone("Europe/Berlin"), regional("en", "en-GB")) == "19 June 2025, 14:05 Central European Summer Time (12:05 UTC)"
    assert in_words(NOON, zone("America/New_York"), regional("en", "en-US")) == (
        "June 19, 2025, 8:05\u00a0AM Eastern Daylight Time (12:05\u00a0PM UTC)"
    )
    assert in_words(NOON, zone("Asia/Tokyo"), regional("ja", "ja-JP")) == "2025年6月19日 21:05 日本標準時 (12:05 UTC)"


def test_the_region_of_another_language_does_not_count() -> None:
    assert regional("en", "de-AT", "en-GB") == Locale("en", "GB")
    assert regional("de", "en-GB") == Locale("de")


def test_utc_repeats_the_date_where_it_is_another_day() -> None:
    late = datetime(2025, 6, 19, 23, 5, tzinfo=UTC)
    assert (
        in_words(late, zone("Europe/Berlin"), Locale("de"))
        == "20. Juni 2025, 01:05 Mitteleuropäische Sommerzeit (19. Juni 2025, 23:05 UTC)"
    )


def test_in_utc_there_is_one_time_only() -> None:
    assert in_words(NOON, zone("Etc/UTC"), Locale("de")) == "19. Juni 2025, 12:05 UTC"


@pytest.mark.parametrize("bad", [None, "Europe", "Europe/", "/etc/localtime", "localtime", "../Europe/Berlin", "Mars/Olympus", *NONSENSE])
def test_a_bad_zone_falls_back_to_the_organizations_then_utc(bad: str | None) -> None:
    assert zone(bad, "Asia/Tokyo") == ZoneInfo("Asia/Tokyo")
    assert zone(bad, bad) is UTC


def test_a_bad_zone_costs_nobody_their_language() -> None:
    speaking = voice("en-GB", "fr", "Mars/Olympus", "Asia/Tokyo")
    assert (speaking.language, str(speaking.locale), speaking.zone) == ("en", "en_GB", ZoneInfo("Asia/Tokyo"))
