"""How far and how fast a run is, from what was looked at."""

from typing import Any

import pytest

from jobs.store.operations import Look
from workers.cli.progress import Pace, Step, judged, settled

NO_LETTERS = dict.fromkeys(("owed", "sending", "deferred", "accepted", "refused", "uncertain", "suppressed", "cancelled"), 0)


def a_look(*, state: str = "running", stage: str = "enforce", members: int = 0, batches: tuple[int, int] = (0, 0), **letters: int) -> Look:
    status: dict[str, Any] = {"state": state, "stage": stage, "members": members, "letters": {**NO_LETTERS, **letters}}
    enforced, to_enforce = batches
    return Look(status=status, enforced=enforced, to_enforce=to_enforce, has_conductor=True, has_enforcer=True, has_mailer=True)


def test_nobody_knows_the_end_while_a_run_is_planned() -> None:
    assert judged(a_look(stage="plan", members=500, batches=(1, 3))) == Step(done=500, total=None)
    assert judged(a_look(batches=(0, 9))) == Step(done=0, total=None)


def test_members_are_estimated_from_the_batches_that_are_done() -> None:
    assert judged(a_look(members=1_500, batches=(3, 10))) == Step(done=1_500, total=5_000)


@pytest.mark.parametrize("look", [a_look(stage="notify", members=70), a_look(state="cancelled", stage="finish", members=70)])
def test_members_are_known_when_all_are_judged_or_none_will_be(look: Look) -> None:
    assert judged(look) == Step(done=70, total=70)


def test_a_letter_is_settled_unless_it_is_owed_or_on_its_way() -> None:
    look = a_look(stage="notify", members=100, owed=30, sending=10, accepted=40, refused=5, uncertain=1, suppressed=9, deferred=5)
    assert settled(look) == Step(done=60, total=100)


def test_a_fraction_stays_between_nothing_and_all() -> None:
    assert Step(done=5, total=None).fraction == 0
    assert Step(done=0, total=0).fraction == 0
    assert Step(done=1, total=4).fraction == 0.25
    assert Step(done=5, total=4).fraction == 1


def test_a_pace_needs_two_moments() -> None:
    pace = Pace()
    assert pace.rate == 0
    pace.note(10.0, 500)
    assert pace.rate == 0
    assert pace.seconds_left(Step(done=500, total=1_000)) is None
    pace.note(12.0, 700)
    assert pace.rate == 100
    assert pace.seconds_left(Step(done=700, total=1_000)) == 3


def test_a_pace_forgets_what_is_long_ago() -> None:
    pace = Pace()
    for second in range(60):
        pace.note(second, second * 10 if second < 30 else 300)
    assert pace.rate == 0
    assert pace.seconds_left(Step(done=300, total=600)) is None


def test_a_pace_is_never_backwards_and_an_unknown_end_has_no_time_left() -> None:
    pace = Pace()
    pace.note(0.0, 10)
    pace.note(1.0, 5)
    assert pace.rate == 0
    pace.note(2.0, 50)
    assert pace.seconds_left(Step(done=50, total=None)) is None
    assert pace.seconds_left(Step(done=60, total=50)) == 0
