"""How the demo tells its story: lines, tables and a live bar on a terminal, plain lines anywhere else."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from workers.demo.check import Finding

PLAIN_WIDTH = 120
"""Of what is piped into a file."""

SETTLED = ("accepted", "refused", "uncertain", "suppressed", "cancelled", "deferred")


class Watcher(Protocol):
    """Shows one `run_status` after the other."""

    def show(self, status: Mapping[str, Any]) -> None:
        """Show how far the run is."""


class Teller:
    """Writes to standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)

    def say(self, *lines: str) -> None:
        """Print lines as they are; nothing in them is markup."""
        for line in lines:
            self._console.print(Text(line))

    def heading(self, line: str) -> None:
        """Print what comes next."""
        self._console.print(Text(f"\n{line}", style="bold"))

    def preview(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print what the switch would do, a line per verdict."""
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        sessions: dict[str, int] = defaultdict(int)
        for row in rows:
            kinds[row["verdict"]][row["kind"]] = row["members"]
            sessions[row["verdict"]] += row["sessions"]
        table = _table("verdict", "members", "sessions that end", "of which")
        for verdict, members in sorted(kinds.items(), key=lambda item: -sum(item[1].values())):
            of_which = ", ".join(f"{number:,} {kind}" for kind, number in sorted(members.items(), key=lambda item: -item[1]))
            table.add_row(verdict, f"{sum(members.values()):,}", f"{sessions[verdict]:,}", of_which)
        self._console.print(table)

    def outcome(self, status: Mapping[str, Any]) -> None:
        """Print what became of everybody, and how long it took."""
        table = _table("what", "how many")
        for verdict, number in status["verdicts"].items():
            table.add_row(f"members: {verdict}", f"{number:,}")
        table.add_row("sessions ended", f"{status['sessions_ended']:,}")
        for state, number in status["letters"].items():
            if number:
                table.add_row(f"letters: {state}", f"{number:,}")
        table.add_row("switch to last ended session", seconds_between(status, "last_session_ended_at"))
        table.add_row("switch to last letter", seconds_between(status, "last_letter_at"))
        self._console.print(table)

    def findings(self, findings: Sequence[Finding]) -> None:
        """Print each comparison, and both sides of one that fails."""
        for finding in findings:
            self.say(f"  {'ok ' if finding.adds_up else 'NOT'}  {finding.what}: {_short(finding.found)}")
            if not finding.adds_up:
                self.say(f"       expected {finding.expected}", f"       found    {finding.found}")

    @contextmanager
    def progress(self, members: int) -> Iterator[Watcher]:
        """Yield something that shows the run over so many members as it goes."""
        if self._console.is_terminal:
            with _Bars(self._console, members) as bars:
                yield bars
        else:
            yield _Lines(self)


class _Bars:
    """Two bars on a terminal: decisions and letters."""

    def __init__(self, console: Console, members: int) -> None:
        columns = (TextColumn("{task.description:<22}"), BarColumn(50), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._judged = self._progress.add_task("members decided on", total=members)
        self._told = self._progress.add_task("letters settled", total=members)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, status: Mapping[str, Any]) -> None:
        self._progress.update(self._judged, completed=status["members"])
        self._progress.update(self._told, completed=_settled(status))


class _Lines:
    """A line whenever a second has passed and something has changed."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._said = ""
        self._next = 0.0

    def show(self, status: Mapping[str, Any]) -> None:
        line = (
            f"  {status['stage']:<8} {status['members']:>9,} decided on  {status['sessions_ended']:>9,} sessions ended"
            f"  {_settled(status):>9,} letters settled"
        )
        is_over = status["state"] != "running"
        if line != self._said and (is_over or time.monotonic() >= self._next):
            self._teller.say(line)
            self._said, self._next = line, time.monotonic() + 1


def seconds_between(status: Mapping[str, Any], event: str) -> str:
    """Return how long after the switch something happened, for people."""
    if not status[event]:
        return "never"
    return f"{(datetime.fromisoformat(status[event]) - datetime.fromisoformat(status['requested_at'])).total_seconds():.2f} s"


def _settled(status: Mapping[str, Any]) -> int:
    return sum(int(status["letters"][state]) for state in SETTLED)


def _short(found: Any) -> str:
    if isinstance(found, dict):
        return f"{sum(found.values()):,} in {len(found)} groups"
    return f"{found:,}" if isinstance(found, int) else str(found)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="underline")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if 0 < number < 3 else "left")  # noqa: PLR2004 - the columns of numbers
    return table
