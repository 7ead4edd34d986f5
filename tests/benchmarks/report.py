"""Put results into tables: Markdown whose columns are padded, so that it reads on a terminal as it is."""

import statistics
from collections.abc import Iterable, Sequence

from tests.benchmarks.results import MIB, Figure, Results, figures
from tests.benchmarks.whole_run import Measured

OURS = "Portcullis"
DASH = "\N{EN DASH}"

PHASES = ("enforcer", "mailer", "conductor", "postgres", "redis", "sink")


def markdown(results: Results) -> str:
    """Return the whole report."""
    return "\n\n".join(part for part in (_head(results), _goals(results), _designs(results), _costs(results)) if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(line, widths, strict=True))]
        for line in [lines[0], rule, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _head(results: Results) -> str:
    machine = results.machine
    size = f"{results.runs[0].members:,} members with two sessions each, " if results.runs else ""
    foreign = f" Other processes took {100 * results.foreign_share:.0f} % of the CPU." if results.ours else ""
    warning = " **Too much to believe the ratios: run it on a quiet machine.**" if results.is_noisy else ""
    return (
        f"Measured by `make bench` in one run: {size}letters of {results.octets_a_letter / 1000:.1f} KB, {results.crew}; "
        f"{machine.cores} cores ({machine.cpu}), {machine.python}, {machine.postgres} with fsync, {machine.redis}, {machine.sink}. "
        f"{_rounds(results)}{foreign}{warning}"
    )


def _rounds(results: Results) -> str:
    rounds = len(results.runs) or 1
    return f"Medians of {rounds} rounds, in brackets the least and the most." if rounds > 1 else "One round."


def _goals(results: Results) -> str:
    rows = [
        (figure.name, _value(figure), figure.absolute, _mark(figure, figure.bound), _mark(figure, figure.goal), figure.outcome)
        for figure in figures(results)
    ]
    return table(("figure", "measured", "in absolute terms", "must be", "goal", "reached"), rows) if rows else ""


def _value(figure: Figure) -> str:
    spread = f" ({_number(min(figure.samples))}{DASH}{_number(max(figure.samples))})" if len(figure.samples) > 1 else ""
    return f"{_number(figure.value)}{figure.unit}{spread}"


def _mark(figure: Figure, mark: float) -> str:
    return f"{'≥' if figure.more_is_better else '≤'} {mark:g}{figure.unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _designs(results: Results) -> str:
    ours = [(OURS, runs) for runs in (results.small, results.runs, results.large) if runs]
    rows = [_design(name, runs) for name, runs in (*ours, *results.peers.items())]
    if not rows:
        return ""
    head = ("design", "members", "members/s", "last session ended", "last letter", "Redis peak", "largest process")
    return "The whole job, from the switch to the last letter:\n\n" + table(head, rows)


def _design(name: str, runs: Sequence[Measured]) -> Sequence[str]:
    return (
        name,
        f"{runs[0].members:,}",
        f"{_median(run.members_a_second for run in runs):,.0f}",
        f"{_median(run.last_session for run in runs):.2f} s",
        f"{_median(run.last_letter for run in runs):.2f} s",
        f"{max(run.redis_peak for run in runs) / MIB:.2f} MiB" if any(run.redis_peak for run in runs) else DASH,
        f"{max(_own(run) for run in runs) / MIB:.0f} MiB",
    )


def _own(run: Measured) -> int:
    return max(octets for name, octets in run.resident.items() if name not in {"postgres", "redis", "sink"})


def _costs(results: Results) -> str:
    """Return CPU time by process: it hardly depends on what else the machine does."""
    rows = [
        (
            name,
            *(f"{1e6 * _median(run.cpu_sessions.get(name, 0) / run.members for run in results.runs):.1f}",),
            f"{1e6 * _median(run.cpu_letters.get(name, 0) / run.letters for run in results.runs):.1f}",
        )
        for name in PHASES
        if results.runs and name in results.runs[0].cpu_letters
    ]
    if not rows:
        return ""
    total = ("together", *(f"{sum(float(row[column]) for row in rows):.1f}" for column in (1, 2)))
    return "CPU time in µs, by process:\n\n" + table(("process", "a member, ending sessions", "a letter, sending"), [*rows, total])


def _median(samples: Iterable[float]) -> float:
    return statistics.median(samples)
