"""What is printed is aligned, in UTC, and harmless to a terminal."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from workers.cli.screen import clean, moment, span, table, tell, tell_json


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\x07b", "a\u202eb", "a\u2028b", "a\x9bb", "a\x00b"])
def test_nothing_printed_can_move_the_cursor_or_reorder_a_line(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(hostile).isprintable()
    tell(f"reason: {hostile}")
    assert capsys.readouterr().out.rstrip("\n").isprintable()
    tell_json({"reason": hostile})
    out = capsys.readouterr().out
    assert out.rstrip("\n").isprintable()
    assert json.loads(out) == {"reason": hostile}


def test_a_text_of_several_lines_becomes_one() -> None:
    assert clean("it\nfailed") == "it failed"
    assert clean("Zoë 東京") == "Zoë 東京"


def test_numbers_stand_to_the_right_and_nothing_is_a_dash() -> None:
    assert table(("RUN", "KIND", "MEMBERS"), [("7", None, 1_000_000), ("12", "client", 5)]) == [
        "RUN  KIND      MEMBERS",
        "  7  -       1,000,000",
        " 12  client          5",
    ]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(("RUN", "STATE"), []) == ["RUN  STATE"]


def test_times_are_in_utc_to_the_second() -> None:
    there = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 3, 4, 1, 2, 3, 999, tzinfo=there)) == "2026-03-03 23:02:03Z"
    assert moment("2026-03-04T01:02:03.5+00:00") == "2026-03-04 01:02:03Z"
    assert moment(datetime(2026, 3, 4, tzinfo=UTC)) == "2026-03-04 00:00:00Z"
    assert moment(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (-3, "0:00"), (7.4, "0:07"), (750, "12:30"), (11_100, "3:05:00"), (86_399, "23:59:59"), (190_000, "2 d 4 h")],
)
def test_a_length_of_time_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert span(seconds) == words
