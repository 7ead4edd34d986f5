"""Breakers in PostgreSQL: what mailers tell of letters and domains, what is decided by it, and what is to be held back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.domain.letters import LetterKind
from jobs.store.database import Database
from jobs.store.statements import statement

OPEN_CANARIES = statement("open_canaries")
TALLY_LETTERS = statement("tally_letters")
TALLY_DOMAINS = statement("tally_domains")
TURN = statement("turn_breakers")
LOOK = statement("look_at_breakers")
PROBE_DOMAINS = statement("probe_domains")
SHOW_RELAY = statement("show_relay")
FORGET_RELAYS = statement("forget_relays")
WAKE_HELD = statement("wake_held")

COUNTS = ("answered", "refused", "returned", "first_answered", "first_refused")

EVERYWHERE = 0
"""Stands where a run's number would, for a kind of letter in all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When breakers open, and for how long. Pauses are seconds; each one is twice as long as the one before.

    `share` of the newest `sample` letters of a kind refused for good opens its breaker, and of the `canary` first ones of a run that
    run's; after a pause `probe` letters decide. `refusals_in_a_row` by policy, or for now, open a recipient domain's; after a pause
    `domain_probe` letters decide.

    A run's own pause grows only while a quarter or more is refused: fewer are dead addresses, and waiting brings none of them back.
    """

    share: float = 0.05
    sample: int = 500
    canary: int = 100
    probe: int = 20
    refusals_in_a_row: int = 20
    domain_probe: int = 5
    first_pause: float = 60.0
    longest_pause: float = 3600.0
    patience: float = 60.0
    """How long a letter that has begun may stay unanswered until another one takes its place among the first."""


@dataclass(slots=True)
class Tally:
    """What letters of one kind in one run met since it was told last. `first_*` leave out whom a relay had refused before.

    `is_awaited`: how many more letters may begin hangs on it.
    """

    is_awaited: bool = False
    answered: int = 0
    refused: int = 0
    returned: int = 0
    first_answered: int = 0
    first_refused: int = 0

    def add(self, other: "Tally") -> None:
        """Take in another one's counts."""
        self.is_awaited = self.is_awaited or other.is_awaited
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class DomainTally:
    """What a recipient domain said since it was told last: refusals after its last acceptance, and whether there was one."""

    refusals: int = 0
    is_well: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A kind of letter that may go on (`passed`) or must not (`held`) in one run, or `EVERYWHERE`, and why."""

    run_id: int
    letter: LetterKind
    state: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One breaker, as everybody sees it. `retry_in` and `held_for` are seconds."""

    scope: str
    subject: str
    seen_by: str
    state: str
    cause: str
    opened_at: datetime
    retry_in: float | None
    held_for: float | None
    changed_by: str | None


async def open_canaries(db: Database, run_id: int, kinds: Iterable[LetterKind], rules: Rules) -> frozenset[LetterKind]:
    """Have the first letters of these kinds go ahead in a run; returns those that are not decided yet, or against."""
    rows = await db.fetch(OPEN_CANARIES, run_id, sorted(kinds), rules.canary)
    return frozenset(LetterKind(row["letter"]) for row in rows)


async def tally_letters(db: Database, tallies: Mapping[tuple[int, LetterKind], Tally], rules: Rules) -> list[Decision]:
    """Count what letters met; returns what was decided by it."""
    of = [*tallies.values()]
    rows = await db.fetch(
        TALLY_LETTERS,
        [run_id for run_id, _ in tallies],
        [kind for _, kind in tallies],
        *([getattr(tally, name) for tally in of] for name in COUNTS),
        rules.share,
        rules.sample,
        rules.probe,
        timedelta(seconds=rules.first_pause),
        timedelta(seconds=rules.longest_pause),
    )
    return [Decision(run_id=row["run_id"], letter=LetterKind(row["letter"]), state=row["state"], cause=row["cause"]) for row in rows]


async def tally_domains(db: Database, tallies: Mapping[str, DomainTally], rules: Rules) -> dict[str, str]:
    """Count what recipient domains said; returns the new states of those whose breaker has changed."""
    rows = await db.fetch(
        TALLY_DOMAINS,
        [*tallies],
        [tally.refusals for tally in tallies.values()],
        [tally.is_well for tally in tallies.values()],
        rules.refusals_in_a_row,
        timedelta(seconds=rules.first_pause),
        timedelta(seconds=rules.longest_pause),
    )
    return {row["domain"]: row["state"] for row in rows}


async def turn(db: Database, rules: Rules) -> int:
    """Do what time and people have brought; returns how many breakers hold less back than before."""
    return int(await db.fetchval(TURN, rules.probe, timedelta(seconds=rules.patience)))


async def look(db: Database, holder: str) -> list[Shown]:
    """Return what holds letters back, and what is said of this process's relays."""
    return [Shown(**row) for row in await db.fetch(LOOK, holder)]


async def probe_domains(db: Database, domains: Sequence[str], *, seconds: float) -> list[str]:
    """Return those of the domains that are ours to try for so long."""
    return [row["subject"] for row in await db.fetch(PROBE_DOMAINS, sorted(domains), timedelta(seconds=seconds))]


async def show_relay(db: Database, relay: str, holder: str, *, state: str, cause: str, since: datetime, retry_in: float) -> None:
    """Say that a relay's breaker is open, or probing, in this process."""
    await db.execute(SHOW_RELAY, relay, holder, state, cause, since, retry_in)


async def forget_relays(db: Database, holder: str, relays: Iterable[str]) -> None:
    """Take back what was said of relays."""
    await db.execute(FORGET_RELAYS, holder, sorted(relays))


async def wake_held(db: Database) -> int:
    """Have batches come back now whose letters a breaker held back; returns how many."""
    return int(await db.fetchval(WAKE_HELD))
