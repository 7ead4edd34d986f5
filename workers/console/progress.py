"""How far a run is, how fast, and for how long still: from its counters, what it got done of late, and what limits would let through."""

from dataclasses import dataclass
from typing import Any, Final

LATELY_SECONDS: Final = 60.0
OUTCOMES: Final = ("accepted", "refused", "uncertain", "suppressed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`share` is from 0 to 1. `letters_left` have still to leave; `left_seconds` is `None` where nothing says how long that takes."""

    share: float
    members_a_minute: float
    letters_a_minute: float
    letters_left: int
    left_seconds: float | None
    left_by: str


def of(status: dict[str, Any], *, enforced: int, to_enforce: int, members: int, letters_a_second: float, budget: float) -> Progress:
    """Return the progress of a run. `members` were judged within `LATELY_SECONDS`; `budget` is letters a second, 0: no limit."""
    counts = status["letters"]
    left = counts["owed"] + counts["sending"]
    judged = sum(counts.values())
    sessions_share = enforced / to_enforce if to_enforce else 0.0
    letters_share = (judged - left) / judged if judged else 0.0
    share = 1.0 if status["state"] == "done" else min(0.99, (sessions_share + letters_share * sessions_share) / 2)
    left_seconds, left_by = _left(left, letters_a_second, budget)
    return Progress(
        share=share,
        members_a_minute=members * 60 / LATELY_SECONDS,
        letters_a_minute=letters_a_second * 60,
        letters_left=left,
        left_seconds=left_seconds,
        left_by=left_by,
    )


def _left(letters: int, rate: float, budget: float) -> tuple[float | None, str]:
    if not letters:
        return None, ""
    if budget:
        return letters / budget, "at the limit's rate"
    return (letters / rate, "at the present rate") if rate else (None, "")
