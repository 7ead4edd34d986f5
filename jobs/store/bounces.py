"""Letters that came back: finding them in the ledger, and writing it down."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.domain.letters import LetterState
from jobs.store.database import Database
from jobs.store.deliveries import tally
from jobs.store.ids import MemberId
from jobs.store.statements import statement

RECORD = statement("record_bounce")
RECORD_FACTOR = statement("record_factor_bounce")
FIND_BY_DIGEST = statement("find_members_by_digest")
FIND_BY_ADDRESS = statement("find_members_by_address")
FIND_FACTOR_LETTER = statement("find_factor_letter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was found, whether it is `refused` now, and whether its address came onto the list."""

    state: LetterState
    is_moved: bool
    is_suppressed: bool


async def record(db: Database, run_id: int, slot: str, member_id: MemberId, reason: str, *, suppresses: bool) -> Recorded | None:
    """Turn one letter of a run that was handed over into one that was refused; `None`: there is none."""
    row = await db.fetchrow(RECORD, run_id, slot, member_id, reason, suppresses)
    if row is not None and row["is_moved"]:
        await tally(db, row["batch_id"], row["token"])
    return None if row is None else _recorded(row["state"], is_moved=row["is_moved"], addresses=row["addresses"])


async def record_factor(db: Database, letter_id: int, kind: str, reason: str, *, suppresses: bool) -> Recorded | None:
    """Turn a letter about a second factor that was handed over into one that was refused; `None`: there is none."""
    row = await db.fetchrow(RECORD_FACTOR, letter_id, kind, reason, suppresses)
    return None if row is None else _recorded(row["state"], is_moved=row["is_moved"], addresses=row["addresses"])


async def members_by_digest(db: Database, run_id: int, slot: str, digest: str) -> list[MemberId]:
    """Return members of a run whose long text id has this digest."""
    return [row["member_id"] for row in await db.fetch(FIND_BY_DIGEST, run_id, slot, digest)]


async def members_by_address(db: Database, run_id: int, addresses: Sequence[str]) -> list[MemberId]:
    """Return members of a run's organization who have one of these addresses at present, as written or in lower case."""
    spelled = {spelling for address in addresses for spelling in (address, address.lower())}
    return [row["user_id"] for row in await db.fetch(FIND_BY_ADDRESS, run_id, sorted(spelled))]


async def member_of_factor_letter(db: Database, letter_id: int, kind: str) -> MemberId | None:
    """Return whom a letter about a second factor went to."""
    found: MemberId | None = await db.fetchval(FIND_FACTOR_LETTER, letter_id, kind)
    return found


def _recorded(state: str, *, is_moved: bool, addresses: int) -> Recorded:
    return Recorded(state=LetterState(state), is_moved=is_moved, is_suppressed=addresses > 0)
