"""The README's table of faults is what the tests say."""

import re

from tests.faults.table import README, TABLE, claims, shown, table

INVARIANTS = {f"I{number}" for number in range(1, 20)}


def test_the_table_is_todays() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run python -m tests.faults.table"


def test_the_readme_shows_it() -> None:
    assert README.read_text(encoding="utf-8") == shown(), "run python -m tests.faults.table"


def test_every_invariant_is_threatened_by_something() -> None:
    threatened = {number for claim in claims() for number in claim.invariants}
    assert threatened == INVARIANTS


def test_a_fault_is_called_the_same_everywhere() -> None:
    names = {claim.fault for claim in claims()}
    assert len(names) == len({re.sub(r"\W+", " ", name).casefold() for name in names})
