"""The ledger of letters: one row per (run, slot, member), in exactly one state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

from jobs.domain.letters import LetterKind
from jobs.domain.outcomes import Outcome
from jobs.errors import Obsolete
from jobs.store.batches import Claim, Stage
from jobs.store.database import Database
from jobs.store.ids import MemberId
from jobs.store.statements import RangeStatement, statement

RECLAIM = RangeStatement.load("reclaim_letters")
PEEK = RangeStatement.load("peek_letters")
MARK = RangeStatement.load("mark_letters")
RECORD = statement("record_letters")
CLOSE = RangeStatement.load("close_letters")
PART_DEFERRED = RangeStatement.load("part_deferred")
TALLY = statement("tally_failures")
OWE_LIFTED = RangeStatement.load("owe_lifted")

KINDS = {str(kind): kind for kind in LetterKind}


class Slot(StrEnum):
    """Which of a run's letters to a member it is."""

    NOTICE = "notice"
    REPORT = "report"
    LIFTED = "lifted"
    WEEK = "week"
    DAY = "day"


def slot_of(stage: Stage) -> Slot:
    """Return the slot that batches of a stage carry. A deferred notice is still a notice.

    Raises:
        ValueError: The stage carries no letters.
    """
    match stage:
        case Stage.NOTICE | Stage.DEFERRED:
            return Slot.NOTICE
        case Stage.REPORT:
            return Slot.REPORT
        case Stage.LIFTED:
            return Slot.LIFTED
        case Stage.WEEK:
            return Slot.WEEK
        case Stage.DAY:
            return Slot.DAY
        case Stage.PLAN | Stage.ENFORCE | Stage.SETTLE | Stage.FINISH | Stage.REMIND_WEEK | Stage.REMIND_DAY:
            raise ValueError(f"{stage} carries no letters")
        case _:
            assert_never(stage)


class Letter(NamedTuple):
    """One letter that is `sending`: which, and to whom, frozen at its first claim (`first_tried_at`, which is also its date).

    The fields stand in the order of the columns of `mark_letters`.

    `was_refused`: a relay has refused it for good before, and has been counted.
    """

    member_id: MemberId
    letter: LetterKind
    recipient: str | None
    display_name: str | None
    locale: str | None
    time_zone: str | None
    kind: str | None
    first_tried_at: datetime
    attempts: int
    doubts: int
    was_refused: bool = False


class Marked(list[Letter]):
    """Letters that are `sending` now. `held_back`: kinds of which there are more that are due, and which may not begin now."""

    held_back: frozenset[LetterKind] = frozenset()


class Due(NamedTuple):
    """A letter that may be claimed: the raw address that it would go to, and its kind as things stood when it was owed."""

    address: str | None
    letter: LetterKind | None


class Settled(NamedTuple):
    """What became of one letter, ready to be written: where it is in the ledger, the claim it was sent under, and the outcome.

    `tried`: the relay that was tried in vain, '' if nobody knows which; `None`: none was, or it accepted the letter.
    """

    claim: Claim
    member_id: MemberId
    outcome: Outcome
    tried: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Where a batch of letters stands: whether it is done, and how many letters are left."""

    is_done: bool
    owed: int
    deferred: int


async def reclaim(db: Database, claim: Claim) -> int:
    """Owe again what a killed mailer left in `sending`; returns how many letters.

    Raises:
        Obsolete: The claim is stale.
    """
    row = await db.fetchrow(RECLAIM.over(claim.low, claim.high), claim.batch_id, claim.token, slot_of(claim.stage), claim.low, claim.high)
    if row is None:
        raise Obsolete(claim.batch_id)
    return int(row["letters"])


async def peek(db: Database, claim: Claim, *, limit: int) -> dict[MemberId, Due]:
    """Return the next letters that are due, claiming none."""
    rows = await db.fetch(
        PEEK.over(claim.low, claim.high),
        claim.batch_id,
        claim.run_id,
        slot_of(claim.stage),
        claim.organization_id,
        claim.low,
        claim.high,
        limit,
    )
    return {row[0]: Due(row[1], LetterKind(row[2]) if row[2] else None) for row in rows}


async def mark(
    db: Database, claim: Claim, *, limit: int, members: Sequence[MemberId] | None, lease: timedelta, canaries: bool = False
) -> Marked:
    """Decide, freeze and commit as `sending` the next letters; only those of `members` if given. Empty: none may begin now.

    `canaries`: mind how many of a kind may begin, see `jobs.breakers`.

    Raises:
        Obsolete: The claim is stale or the letters are not wanted any more.
    """
    rows = await db.fetch(
        MARK.over(claim.low, claim.high),
        claim.batch_id,
        claim.token,
        claim.run_id,
        slot_of(claim.stage),
        claim.organization_id,
        claim.low,
        claim.high,
        limit,
        members,
        lease,
        canaries,
    )
    if not rows:
        raise Obsolete(claim.batch_id)
    marked = Marked(Letter(row[0], KINDS[row[1]], *row[2:11]) for row in rows if row[0] is not None)
    if canaries:
        marked.held_back = frozenset(LetterKind(kind) for row in rows for kind in row[11] or ())
    return marked


async def record(db: Database, settled: Sequence[Settled]) -> int:
    """Write outcomes in one statement; returns how many were written. Those of a stale claim are not."""
    written = await _record(db, settled)
    # A row that a sweep moved at that moment was passed over; what is written already is not touched again.
    return written if written == len(settled) else written + await _record(db, settled)


async def _record(db: Database, settled: Sequence[Settled]) -> int:
    tried = {number: letter.tried for number, letter in enumerate(settled, 1) if letter.tried is not None}
    rows = await db.fetch(
        RECORD,
        [letter.claim.run_id for letter in settled],
        [letter.claim.batch_id for letter in settled],
        [letter.claim.token for letter in settled],
        [slot_of(letter.claim.stage) for letter in settled],
        [letter.member_id for letter in settled],
        [letter.outcome.state for letter in settled],
        [letter.outcome.reason for letter in settled],
        [letter.outcome.relay_id for letter in settled],
        [letter.outcome.seconds for letter in settled],
        [letter.outcome.attempts for letter in settled],
        [letter.outcome.doubts for letter in settled],
        [letter.outcome.suppresses for letter in settled],
        list(tried),
        list(tried.values()),
    )
    return sum(row["letters"] for row in rows)


async def close(db: Database, claim: Claim, *, seconds: float, holds_place: bool = True, error: str | None = None) -> Closed:
    """Close a batch of letters, or give it back until its next letter is due, at the earliest in `seconds`.

    `holds_place`: whether it keeps its place in the conductor's window while it waits.

    Raises:
        Obsolete: The claim is stale.
    """
    row = await db.fetchrow(
        CLOSE.over(claim.low, claim.high),
        claim.batch_id,
        claim.token,
        claim.run_id,
        slot_of(claim.stage),
        claim.low,
        claim.high,
        timedelta(seconds=seconds),
        error,
        holds_place,
    )
    if row is None:
        raise Obsolete(claim.batch_id)
    if row["may_have_failures"]:
        await tally(db, claim.batch_id, claim.token)
    return Closed(is_done=row["state"] == "done", owed=row["owed"], deferred=row["deferred"])


async def part_deferred(db: Database, claim: Claim) -> int:
    """Move deferred letters into a batch that does not hold the run; returns how many there were."""
    row = await db.fetchrow(PART_DEFERRED.over(claim.low, claim.high), claim.batch_id, claim.token, claim.run_id, claim.low, claim.high)
    if row is None:
        return 0
    await tally(db, row["batch_id"], 0)
    return int(row["deferred"])


async def tally(db: Database, batch_id: int, token: int) -> None:
    """Count what of a batch's notices did not arrive, for people to look at; nothing is done where somebody has claimed it since."""
    await db.execute(TALLY, batch_id, token)


async def owe_lifted(db: Database, claim: Claim) -> int:
    """Owe a `lifted` letter to everybody of the range who got `signed_out`; returns how many were added.

    Raises:
        Obsolete: The claim is stale.
    """
    row = await db.fetchrow(OWE_LIFTED.over(claim.low, claim.high), claim.batch_id, claim.token, claim.run_id, claim.low, claim.high)
    if row is None:
        raise Obsolete(claim.batch_id)
    return int(row["letters"])
