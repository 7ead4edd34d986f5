"""SQL by file name: one statement a file, its parameters described in its header, which a test compares with what PostgreSQL says."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

FOLDER = files("jobs.store") / "sql"

BOUND = re.compile(r"\((?P<is_open>\$\d+::portcullis\.member_id IS NULL) OR (?P<condition>[^()]+ (?P<operator>>=|<) [^()]+)\)")
"""How a file writes one end of a range, that may be open."""


def statement(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RangeStatement:
    """A statement over a range of members, in a form for each way of being open, with the same parameters.

    A range may be open at either end, which the file writes as `($5 IS NULL OR ... >= $5)`. No plan serves that for every value: kept,
    it reads the whole organization, and PostgreSQL does keep it where most organizations are small. So each form says only what is so
    (`... >= $5`, or `$5 IS NULL`), and its plan can be kept.
    """

    text: str

    @classmethod
    def load(cls, name: str) -> Self:
        """Read `sql/<name>.sql`."""
        return cls(statement(name))

    def over(self, low: object | None, high: object | None) -> str:
        """Return the form for this range."""
        return _form(self.text, has_low=low is not None, has_high=high is not None)


@cache
def _form(text: str, *, has_low: bool, has_high: bool) -> str:
    has_end = {">=": has_low, "<": has_high}
    return BOUND.sub(lambda bound: bound["condition"] if has_end[bound["operator"]] else bound["is_open"], text)
