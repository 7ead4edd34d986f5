"""What the demo says where there is no terminal."""

from typing import Any

import pytest

from workers.demo.check import Finding
from workers.demo.telling import Teller, seconds_between

STATES = ("owed", "sending", "deferred", "accepted", "refused", "uncertain", "suppressed", "cancelled")


def a_status(**changed: Any) -> dict[str, Any]:
    letters = dict.fromkeys(STATES, 0)
    return {"state": "running", "stage": "enforce", "members": 0, "sessions_ended": 0, "letters": letters, **changed}


def test_progress_is_a_line_where_something_changed_and_the_end_is_always_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller().progress(10) as watcher:
        for members in (0, 0, 4, 9):
            watcher.show(a_status(members=members))
        watcher.show(a_status(members=10, state="done", stage="finish"))
    told = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert told == [["enforce", "0"], ["finish", "10"]]


def test_a_comparison_that_fails_shows_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    Teller().findings([Finding(what="right", expected=1, found=1), Finding(what="wrong", expected={"a": 1}, found={"a": 2})])
    told = capsys.readouterr().out
    assert "ok   right: 1" in told
    assert "NOT  wrong" in told
    assert "expected {'a': 1}" in told
    assert "found    {'a': 2}" in told


def test_what_is_said_is_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Teller().say("[bold]not bold[/bold] [/nothing]")
    assert capsys.readouterr().out == "[bold]not bold[/bold] [/nothing]\n"


def test_the_preview_has_a_line_per_verdict_with_its_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"verdict": "unprotected", "kind": "employee", "members": 1200, "sessions": 2300},
        {"verdict": "unprotected", "kind": "client", "members": 40, "sessions": 50},
        {"verdict": "sso", "kind": "employee", "members": 7, "sessions": 0},
    ]
    Teller().preview(rows)
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert told[1:] == ["unprotected 1,240 2,350 1,200 employee, 40 client", "sso 7 0 7 employee"]


def test_a_time_is_counted_from_the_switch_or_never_came() -> None:
    status = {"requested_at": "2026-01-01T00:00:00+00:00", "last_letter_at": "2026-01-01T00:00:01.5+00:00", "other": None}
    assert seconds_between(status, "last_letter_at") == "1.50 s"
    assert seconds_between(status, "other") == "never"
