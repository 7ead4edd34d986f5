"""How pages write numbers, times, addresses and charts."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.console import charts, progress
from workers.console.wording import DASH, ago, masked, moment, number, plural, said, share, span

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (190, "3 min 10 s"),
        (601, "10 min"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (None, DASH),
        (-5, "0 s"),
    ],
)
def test_a_span_has_the_two_units_that_matter(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


def test_ago_and_in() -> None:
    assert ago(NOON - timedelta(minutes=5), NOON) == "5 min ago"
    assert ago(NOON + timedelta(minutes=5), NOON) == "in 5 min"
    assert ago((NOON - timedelta(hours=1)).isoformat(), NOON) == "1 h ago"
    assert ago(NOON, NOON) == "just now"


def test_a_moment_is_one_for_programs_too() -> None:
    assert moment(NOON, None) == '<time datetime="2026-07-01T12:00:00Z">1 Jul 2026, 12:00:00 UTC</time>'
    assert moment(NOON, "Europe/Berlin") == '<time datetime="2026-07-01T12:00:00Z" data-zone=kept>1 Jul 2026, 14:00:00 CEST</time>'


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ada.lovelace@analytical.example", "a…e@a…l.example"),
        ("a@b.example", "a…@b….example"),
        ("no address", "n…s"),
        (None, DASH),
        ("", DASH),
        ("x@y", "x…@y…"),
    ],
)
def test_an_address_is_masked(address: str | None, said: str) -> None:
    assert masked(address) == said


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("550 5.1.1 <ada.lovelace@analytical.example>: no such user", "550 5.1.1 <a…e@a…l.example>: no such user"),
        ("Key (email)=(ada@analytical.example) is there; bob@x.example too", "Key (email)=(a…a@a…l.example) is there; b…b@x….example too"),
        ("queued @ 12:00", "queued @ 12:00"),
        (None, ""),
    ],
)
def test_addresses_in_other_people_s_words_are_masked(words: str | None, shown: str) -> None:
    assert said(words) == shown


def test_counts_and_shares() -> None:
    assert (number(1234567), number(2.5), number(2.0), number(None)) == ("1,234,567", "2.5", "2", DASH)
    assert (plural(1, "batch", "batches"), plural(0, "run")) == ("1 batch", "0 runs")
    assert (share(1, 3), share(1, 1000), share(5, 0), share(3, 3)) == ("33 %", "0.1 %", DASH, "100 %")


def test_a_chart_says_what_it_shows_and_escapes_it() -> None:
    drawn = charts.stack("Members <of> run", [("un<protected", 1, "unprotected"), ("sso", 999_999, "sso"), ("exempt", 0, "exempt")])
    assert 'role="img"' in drawn
    assert "Members &lt;of&gt; run: un&lt;protected 1 (0.0 %), sso 999,999" in drawn
    assert drawn.count("<rect") == 3, "the ground and two parts"
    assert "exempt" not in drawn
    assert "style" not in drawn


def test_nothing_is_drawn_wider_than_its_ground() -> None:
    drawn = str(charts.stack("x", [(str(n), 1, "sso") for n in range(150)] + [("much", 10**9, "owed")]))
    ends = [float(part.split('"')[1]) + float(part.split('width="')[1].split('"')[0]) for part in drawn.split("<rect x=")[1:]]
    assert max(ends) <= charts.WIDTH + 0.5


def test_time_left_goes_by_the_limit_and_else_by_how_fast_it_is() -> None:
    letters = dict.fromkeys(("owed", "sending", "deferred", "accepted", "refused", "uncertain", "suppressed", "cancelled"), 0)
    status = {"state": "running", "letters": letters | {"owed": 100, "accepted": 100}}
    by_limit = progress.of(status, enforced=2, to_enforce=2, members=0, letters_a_second=50, budget=2)
    assert (by_limit.left_seconds, by_limit.left_by, by_limit.share) == (50, "at the limit's rate", 0.75)
    by_rate = progress.of(status, enforced=2, to_enforce=2, members=0, letters_a_second=50, budget=0)
    assert by_rate.left_seconds == 2
    nobody_knows = progress.of(status, enforced=0, to_enforce=0, members=0, letters_a_second=0, budget=0)
    assert (nobody_knows.left_seconds, nobody_knows.share) == (None, 0)
