"""Write the table of faults: what breaks, which invariants that threatens, which test watches them hold.

    python -m tests.faults.table        # writes tests/faults/table.md, and into the README between its two marks

It is read from the tests: the nemesis' list of faults, its failpoints, and every test that is marked `survives("fault", "I1 I2")`.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.nemesis import failpoints
from tests.faults.weather import FAULTS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "faults" / "table.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- faults: begin (python -m tests.faults.table) -->", "<!-- faults: end -->"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """Somewhere a test says that a fault is survived."""

    fault: str
    invariants: tuple[str, ...]
    test: str


def claims() -> Iterator[Claim]:
    """Return what the nemesis and the marked tests say."""
    for fault in FAULTS:
        yield Claim(fault.says, fault.threatens, "make faults" if fault.only_long else "faults")
    yield Claim(f"kill -9 at each of {len(failpoints())} failpoints", ("I1", "I2", "I4", "I6", "I8", "I10", "I15"), "faults")
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        yield from _marks(path)


def _marks(path: Path) -> Iterator[Claim]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", ()):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.survives"):
                fault, invariants = (ast.literal_eval(argument) for argument in decorator.args)
                yield Claim(fault, tuple(invariants.split()), path.stem.removeprefix("test_"))


def table() -> str:
    """Return the table as Markdown, one row a fault."""
    invariants: defaultdict[str, set[str]] = defaultdict(set)
    tests: defaultdict[str, set[str]] = defaultdict(set)
    for claim in claims():
        invariants[claim.fault] |= set(claim.invariants)
        tests[claim.fault].add(claim.test)
    rows = [
        f"| {fault} | {_in_order(invariants[fault])} | {', '.join(sorted(tests[fault]))} |" for fault in sorted(tests, key=str.casefold)
    ]
    return "\n".join(["| fault | invariants | test |", "|---|---|---|", *rows]) + "\n"


def _in_order(numbers: set[str]) -> str:
    return " ".join(sorted(numbers, key=lambda number: int(number[1:])))


def shown() -> str:
    """Return the README as it stands with today's table in it."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    README.write_text(shown(), encoding="utf-8")
