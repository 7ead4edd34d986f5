"""What a verification can find, one word each, and the sentence that says where."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What was done to the record; scripts rely on the words."""

    EDITED = "edited"
    INSERTED = "inserted"
    REORDERED = "reordered"
    MISSING = "missing"
    CUT_OFF = "cut_off"
    NO_CHECKPOINT = "no_checkpoint"
    UNKNOWN_KEY = "unknown_key"
    DISAGREES = "disagrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The first thing that is wrong. `place`: in the chain of the run; `run_id` 0: the chain of what belongs to no run."""

    kind: Kind
    words: str
    run_id: int | None = None
    place: int | None = None
    entry_id: int | None = None


class Found(Exception):  # noqa: N818 -- ends a verification, which did what it was asked to
    """Ends a verification at the first finding."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.words)
