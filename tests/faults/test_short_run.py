"""A short run of the nemesis, with every fault and every failpoint once: what `make faults` does for longer.

`SEED=7 make test ARGS=tests/faults` repeats a schedule.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nemesis import ELSEWHERE, failpoints, torment
from tests.faults.weather import FAULTS
from workers.demo.embedded import private_directory

SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that PostgreSQL may enter under an account of its own."""
    with private_directory() as directory:
        directory.chmod(0o711)
        yield directory / "ground"


async def test_everything_breaks_and_the_invariants_hold(folder: Path) -> None:
    outcome = await torment(folder, SEED, seconds=32, members=1000, small=8)
    print(outcome)  # noqa: T201 -- shown where it fails
    assert outcome.violations == [], "\n".join([str(outcome), *outcome.told])
    assert outcome.unreached == [], str(outcome)
    assert set(outcome.faults) == {fault.says for fault in FAULTS if not fault.only_long}


def test_a_failpoint_that_the_nemesis_leaves_out_is_armed_by_a_test_of_its_own() -> None:
    for name, test in ELSEWHERE.items():
        assert f'"{name}").touch()' in Path(test).read_text()


def test_there_is_a_failpoint_around_each_commit_send_and_smtp_stage() -> None:
    assert {"before_claim", "after_claim", "in_enforce", "after_enforce", "after_mark", "before_data", "after_dot", "before_flush"} <= set(
        failpoints()
    )
