"""What becomes of a letter, answer by answer."""

import pytest

from jobs.domain.backoff import HOLD, LADDER, PATIENCE, time_spent
from jobs.domain.letters import LetterState
from jobs.domain.outcomes import DOUBT_SECONDS, FAULT_SECONDS, RELAY_SECONDS, Outcome, Scope, settle

LONG = next(failures for failures in range(1, 99) if time_spent(failures) > HOLD)
"""Deferrals after which a letter no longer holds its run."""


def outcome(scope: Scope, *, attempts: int = 0, doubts: int = 0, luck: float = 0.5) -> Outcome:
    return settle(scope, attempts=attempts, doubts=doubts, luck=luck, words="its words", relay_id="7")


def test_an_accepted_letter_keeps_the_relays_id_and_needs_no_words() -> None:
    assert outcome(Scope.ACCEPTED) == Outcome(state=LetterState.ACCEPTED, relay_id="7")


def test_a_recipient_that_will_never_take_it_is_refused_at_once() -> None:
    assert outcome(Scope.RECIPIENT) == Outcome(state=LetterState.REFUSED, reason="its words", suppresses=True)


@pytest.mark.parametrize("attempts", range(LONG - 1))
def test_a_recipient_that_may_take_it_later_is_tried_again_and_holds_the_run_at_first(attempts: int) -> None:
    found = outcome(Scope.RECIPIENT_FOR_NOW, attempts=attempts)
    assert (found.state, found.seconds, found.attempts) == (LetterState.OWED, LADDER[attempts], 1)


def test_after_ten_minutes_it_is_deferred_and_after_two_days_refused() -> None:
    found = [outcome(Scope.RECIPIENT_FOR_NOW, attempts=attempts).state for attempts in range(LONG - 1, 40)]
    last = next(failures for failures in range(1, 99) if time_spent(failures) > PATIENCE)
    assert found == [LetterState.DEFERRED] * (last - LONG) + [LetterState.REFUSED] * (40 - last + 1)


@pytest.mark.parametrize(("attempts", "state"), [(0, LetterState.OWED), (LONG, LetterState.DEFERRED)])
def test_what_was_not_begun_is_nobodys_attempt_and_due_at_once(attempts: int, state: LetterState) -> None:
    assert outcome(Scope.UNSENT, attempts=attempts) == Outcome(state=state, reason="its words")


@pytest.mark.parametrize("luck", [0.0, 0.99])
@pytest.mark.parametrize(("attempts", "state"), [(0, LetterState.OWED), (LONG, LetterState.DEFERRED)])
def test_the_relays_trouble_is_nobodys_attempt_but_never_without_a_pause(luck: float, attempts: int, state: LetterState) -> None:
    found = outcome(Scope.RELAY, attempts=attempts, luck=luck)
    assert (found.state, found.attempts, found.doubts) == (state, 0, 0)
    assert RELAY_SECONDS / 2 <= found.seconds <= RELAY_SECONDS * 1.5


@pytest.mark.parametrize("luck", [0.0, 0.99])
@pytest.mark.parametrize(("attempts", "state"), [(0, LetterState.OWED), (LONG, LetterState.DEFERRED)])
def test_a_refused_letter_touches_no_recipient_and_rests_no_longer_than_its_batch(luck: float, attempts: int, state: LetterState) -> None:
    assert outcome(Scope.MESSAGE, attempts=attempts, luck=luck) == Outcome(state=state, reason="its words", seconds=FAULT_SECONDS)


@pytest.mark.parametrize(("attempts", "state"), [(0, LetterState.OWED), (LONG, LetterState.DEFERRED)])
def test_the_first_doubt_is_tried_once_more(attempts: int, state: LetterState) -> None:
    found = outcome(Scope.UNCERTAIN, attempts=attempts)
    assert found == Outcome(state=state, reason="its words", seconds=DOUBT_SECONDS, doubts=1)


def test_the_second_doubt_is_the_end() -> None:
    assert outcome(Scope.UNCERTAIN, doubts=1) == Outcome(state=LetterState.UNCERTAIN, reason="its words", doubts=1)


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("doubts", [0, 1])
def test_no_answer_adds_more_than_one_attempt_or_doubt(scope: Scope, doubts: int) -> None:
    found = outcome(scope, doubts=doubts)
    assert found.attempts + found.doubts <= 1
    assert found.seconds >= 0
