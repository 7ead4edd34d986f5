"""SQL by file name: one statement a file, its parameters described in its header, which a test compares with what PostgreSQL says."""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

FOLDER = files("jobs.store") / "sql"

OPEN_BOUND = re.compile(r"\(\$\d+::portcullis\.member_id IS NULL OR ([^()]+)\)")


def statement(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RangeStatement:
    """A statement over a range of members, in two forms with the same parameters.

    A range may be open at either end, which the file writes as `($5 IS NULL OR ... >= $5)`. PostgreSQL can't plan that for every value
    at once: such a statement is planned again for each batch, at 3 to 10 ms. All ranges but the first and the last are bounded; for
    them the same text is used with the conditions alone, whose plan is kept.
    """

    open: str
    bounded: str

    @classmethod
    def load(cls, name: str) -> Self:
        """Read `sql/<name>.sql`."""
        text = statement(name)
        return cls(text, OPEN_BOUND.sub(r"\1", text))

    def over(self, low: object | None, high: object | None) -> str:
        """Return the form for this range."""
        return self.open if low is None or high is None else self.bounded
