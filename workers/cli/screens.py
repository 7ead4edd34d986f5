"""Where a watched run is shown: bars on a terminal, lines in a log, objects for a program."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from jobs.store.operations import Look
from workers.cli.progress import Pace, Step, judged, settled
from workers.cli.report import advise, headline
from workers.cli.screen import clean, span, tell, tell_json

STILL_SECONDS = 5.0
"""A run that has not moved for so long gets its advice."""


class Screen(Protocol):
    """Shows looks at one run, in order; opened and closed around them."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; what was shown stays."""

    def show(self, look: Look) -> None:
        """Show where the run is now."""

    def say(self, line: str) -> None:
        """Show something else than a look."""


def choose_screen(*, as_json: bool) -> Screen:
    """Return the screen that fits what standard output is."""
    if as_json:
        return Objects()
    return Bars() if sys.stdout.isatty() else Lines()


class _Plain:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()


class Objects(_Plain):
    """The `run_status` object, one line each time that it changed."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None

    def show(self, look: Look) -> None:
        """Print the object if it is another one."""
        if look.status != self._last:
            tell_json(look.status)
        self._last = look.status

    def say(self, line: str) -> None:
        """Keep quiet: a program reads only objects."""


class Quiet(_Plain):
    """Nothing, for somebody who waits for the end."""

    def show(self, look: Look) -> None:
        """Keep quiet."""

    def say(self, line: str) -> None:
        """Keep quiet."""


class Lines(_Plain):
    """A line a second at most, and only when something moved."""

    def __init__(self, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._began = self._told_at = clock()
        self._measured = Measured(clock)
        self._last: tuple[str, str] | None = None

    def show(self, look: Look) -> None:
        """Print where the run is."""
        self._measured.note(look)
        now = self._clock()
        is_over = look.status["state"] != "running"
        line = (look.status["stage"], self._measured.sentence())
        if line != self._last and (self._last is None or is_over or now - self._told_at >= self._every):
            self._last, self._told_at = line, now
            self.say(f"{span(now - self._began)}  {look.status['stage']:<7}  {line[1]}")
        for advice in self._measured.due_advice(look):
            self.say(advice)

    def say(self, line: str) -> None:
        """Print a line at once."""
        tell(line)
        sys.stdout.flush()


class Bars:
    """Two bars, sessions and letters, with rate and time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 -- a third of a second that only a terminal needs

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}", justify="right"),
            TextColumn("{task.fields[pace]}"),
            auto_refresh=False,
        )
        self._sessions = self._progress.add_task("sessions", total=None, count="", pace="")
        self._letters = self._progress.add_task("letters", total=None, count="", pace="")
        self._measured = Measured(time.monotonic)
        self._headline: str | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def show(self, look: Look) -> None:
        """Move the bars."""
        self._measured.note(look)
        if (line := headline(look.status)) != self._headline:
            self._headline = line
            self.say(line)
        for task, step, pace in (
            (self._sessions, self._measured.sessions, self._measured.sessions_pace),
            (self._letters, self._measured.letters, self._measured.letters_pace),
        ):
            self._progress.update(task, completed=step.done, total=step.total, count=_count(step), pace=_pace(step, pace))
        for advice in self._measured.due_advice(look):
            self.say(advice)
        self._progress.refresh()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(clean(line), markup=False, highlight=False)


class Measured:
    """The last look in numbers, and how fast they move."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moved_at = clock()
        self._advised: list[str] = []
        self.sessions = self.letters = Step(done=0, total=None)
        self.sessions_pace, self.letters_pace = Pace(), Pace()
        self._ended = 0

    def note(self, look: Look) -> None:
        """Take a look in."""
        now = self._clock()
        before = (self.sessions, self.letters)
        self.sessions, self.letters, self._ended = judged(look), settled(look), look.status["sessions_ended"]
        self.sessions_pace.note(now, self.sessions.done)
        self.letters_pace.note(now, self.letters.done)
        if before != (self.sessions, self.letters):
            self._moved_at = now

    def sentence(self) -> str:
        """Return the numbers as one line."""
        is_judged = self.sessions.total == self.sessions.done
        pace = _pace(self.letters, self.letters_pace) if is_judged else _pace(self.sessions, self.sessions_pace)
        numbers = f"members {_count(self.sessions)}, sessions ended {self._ended:,}, letters {_count(self.letters)}"
        return f"{numbers}, {pace}" if pace else numbers

    def due_advice(self, look: Look) -> list[str]:
        """Return what to do, once, when nothing has moved for some seconds."""
        if self._clock() - self._moved_at < STILL_SECONDS:
            return []
        advice = advise(look)
        new = [line for line in advice if line not in self._advised]
        self._advised = advice
        return new


def _count(step: Step) -> str:
    return f"{step.done:,}" if step.total is None else f"{step.done:,} of {step.total:,}"


def _pace(step: Step, pace: Pace) -> str:
    left = pace.seconds_left(step)
    if step.total == step.done or not pace.rate:
        return ""
    return f"{pace.rate:,.0f}/s" + (f", {span(left)} left" if left is not None else "")
