"""What a check hands back: the faults, and the figure that came closest to one."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one letter."""

    letter: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. `missing`: the tool is not there, and nothing was looked at."""

    check: str
    letters: int = 0
    closest: str = ""
    faults: list[Fault] = field(default_factory=list)
    missing: str | None = None

    @property
    def passed(self) -> bool:
        """Looked at, and nothing wrong."""
        return not self.faults and not self.missing
