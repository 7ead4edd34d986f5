"""How long things wait, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.domain.backoff import HOLD, HOUR, LADDER, MINUTE, PATIENCE, full_jitter, next_rung, time_spent

luck = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(("attempt", "most"), [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (40, 60), (10_000, 60)])
def test_the_bound_doubles_up_to_its_limit(attempt: int, most: float) -> None:
    assert full_jitter(attempt, 0.0, first_seconds=0.5, most_seconds=60) == 0
    assert full_jitter(attempt, 0.5, first_seconds=0.5, most_seconds=60) == most / 2


@given(st.integers(min_value=1, max_value=10**6), luck)
def test_jitter_is_full_and_never_beyond_its_limit(attempt: int, luck: float) -> None:
    assert 0 <= full_jitter(attempt, luck, first_seconds=0.5, most_seconds=60) < 60


def test_the_ladder_is_the_one_of_the_letters_rules() -> None:
    assert list(LADDER) == [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR]


@given(st.integers(min_value=1, max_value=40), luck)
def test_a_rung_is_met_within_a_quarter(failures: int, luck: float) -> None:
    rung = LADDER[min(failures, len(LADDER)) - 1]
    assert 0.75 * rung <= next_rung(failures, luck) <= 1.25 * rung


@pytest.mark.parametrize(("failures", "minutes"), [(0, 0), (1, 1), (2, 6), (3, 21), (7, 471), (8, 711)])
def test_time_spent_adds_up_the_rungs_and_repeats_the_last(failures: int, minutes: int) -> None:
    assert time_spent(failures) == minutes * MINUTE


def test_a_letter_holds_its_run_for_two_tries_and_is_given_up_within_two_days_and_a_rung() -> None:
    assert time_spent(2) <= HOLD < time_spent(3)
    last = next(failures for failures in range(1, 99) if time_spent(failures) > PATIENCE)
    assert time_spent(last) - PATIENCE <= LADDER[-1]
