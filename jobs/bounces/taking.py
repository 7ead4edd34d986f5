"""Take one message that came back: find its letter and write down what follows, in one statement.

Repeat-safe: whatever was killed, the message is still there, and the letter is in one state or the other.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from jobs.bounces.origin import Origin, Origins
from jobs.bounces.proofs import Proofs
from jobs.bounces.report import Report, Unusable, Uselessness, read_report
from jobs.domain.bounces import Meaning, meaning_of
from jobs.domain.letters import LetterState
from jobs.keys import KeyRing
from jobs.letters.return_paths import ReturnPaths
from jobs.store import bounces
from jobs.store.database import Database
from jobs.store.ids import IdTypes

UNSETTLED = frozenset({LetterState.OWED, LetterState.SENDING, LetterState.DEFERRED, LetterState.ACCEPTED, LetterState.UNCERTAIN})
"""A letter on its way: a report may be quicker than the mailer's own note. Or one that somebody moved at this very moment."""


class Result(StrEnum):
    """What became of a message."""

    BOUNCED = "bounced"
    """A letter is `refused` now that was believed to have arrived."""
    NOTED = "noted"
    """It says that a letter is late, or has arrived: nothing changes."""
    TOO_EARLY = "too_early"
    """Its letter is not settled in the ledger yet: take the message again later."""
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one message, and of which letter; ids only. `why`: a word of `Uselessness` or `Meaning`."""

    result: Result
    why: str
    number: int | None = None
    slot: str | None = None
    member: str | None = None
    status: str | None = None
    is_suppressed: bool = False


class Reader:
    """Takes messages over one connection."""

    def __init__(self, db: Database, types: IdTypes, ring: KeyRing, bounce_address: str | None) -> None:
        return_paths = ReturnPaths.read(bounce_address) if bounce_address else None
        self._db = db
        self._origins = Origins(db, types, Proofs(ring), return_paths)

    @classmethod
    async def open(cls, db: Database, ring: KeyRing, bounce_address: str | None) -> Self:
        """Return a reader for the installation behind `db`.

        Raises:
            LookupError: Portcullis is not installed there.
        """
        return cls(db, await IdTypes.read(db), ring, bounce_address)

    async def take(self, octets: bytes, *, came_to: str | None = None) -> Taken:
        """Do what one message asks for; committed when this returns. `octets`: `LONGEST_READ` + 1 of it at most are looked at.

        Raises:
            OSError, asyncpg.PostgresError: It could not be written down; take the message again.
        """
        try:
            report = read_report(octets, came_to=came_to)
            return await self._follow(report, await self._origins.find(report))
        except Unusable as unusable:
            return Taken(result=Result.IGNORED, why=unusable.reason)

    async def _follow(self, report: Report, origin: Origin) -> Taken:
        meaning = meaning_of(report.action, report.status, report.words)
        noted = Taken(
            result=Result.NOTED,
            why=meaning,
            number=origin.number,
            slot=origin.slot,
            member=str(origin.member),
            status=report.status or None,
        )
        if meaning in (Meaning.DELAYED, Meaning.DELIVERED):
            return noted
        reason = "bounced: " + " ".join(part for part in (report.status, report.words) if part)
        recorded = await self._record(origin, reason, suppresses=meaning is Meaning.ADDRESS_GONE)
        if recorded.is_moved:
            return replace(noted, result=Result.BOUNCED, is_suppressed=recorded.is_suppressed)
        if recorded.state in UNSETTLED:
            return replace(noted, result=Result.TOO_EARLY, why="on_its_way")
        raise Unusable(Uselessness.KNOWN)

    async def _record(self, origin: Origin, reason: str, *, suppresses: bool) -> bounces.Recorded:
        if origin.is_about_factor:
            recorded = await bounces.record_factor(self._db, origin.number, origin.slot, reason, suppresses=suppresses)
        else:
            recorded = await bounces.record(self._db, origin.number, origin.slot, origin.member, reason, suppresses=suppresses)
        if recorded is None:
            raise Unusable(Uselessness.UNKNOWN_LETTER)
        return recorded
