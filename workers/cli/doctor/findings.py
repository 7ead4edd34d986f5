"""What a check found, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`fault` must be mended, and makes the exit code 1; `warning` should be; `note` is worth knowing."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a subject."""

    level: Level
    what: str
    to_do: str | None = None


def ok(what: str) -> Finding:
    """Return: as it should be."""
    return Finding(Level.OK, what)


def note(what: str, to_do: str | None = None) -> Finding:
    """Return: worth knowing, or could not be looked at."""
    return Finding(Level.NOTE, what, to_do)


def warning(what: str, to_do: str) -> Finding:
    """Return: works, but not for long or not well."""
    return Finding(Level.WARNING, what, to_do)


def fault(what: str, to_do: str) -> Finding:
    """Return: must be mended."""
    return Finding(Level.FAULT, what, to_do)


def faults(findings: Iterable[Finding]) -> int:
    """Count what must be mended."""
    return sum(finding.level is Level.FAULT for finding in findings)
