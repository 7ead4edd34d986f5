"""Batches that were put aside for a human: alike ones together, one shown whole, tried again or given up.

**Replay** opens a batch again from its first attempt on. The fencing token, the ledger and what was frozen in it stay, so nothing that was
done is done again, and a letter that may have left goes with the same Message-ID.

**Discard** gives up letters: what is owed is cancelled, with the reason `discarded` in the ledger, is counted as cancelled in the run and
named in the admin's report; the run can then be done. Only batches of letters and of reminders can be given up. A dead batch of the
plan, of sessions to end, of a settlement or of the finish stands for members who may still be signed in, or for a run that nobody has
looked over: without it a run would say that it is done, and it would not be true. Such a batch is replayed, or its run cancelled.
"""

from dataclasses import dataclass, fields
from datetime import datetime

from jobs.store.database import Connection, Database
from jobs.store.ids import MemberId, OrganizationId
from jobs.store.statements import statement
from jobs.store.steering.actions import note
from jobs.store.steering.orders import MalformedOrderError, Order, Refused, Stale, Unknown, carrying_out

COUNT = statement("count_dead")
REPLAY = statement("replay_batches")
DISCARD = statement("discard_batches")
GROUPS = statement("list_dead_groups")
SHOW = statement("show_dead")
FIND_BATCH = statement("find_batch")
FIND_RUN = statement("find_run")

DISCARDABLE = ("notice", "deferred", "report", "lifted", "remind_week", "remind_day", "week", "day")
"""Stages whose dead batches can be given up: nobody stays signed in for lack of a letter."""

RECORDED = 100
"""Numbers of batches, at most, that the record of one order names; it always has the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead batches are meant: all that fit every word given. `everything` stands for none given.

    Raises:
        MalformedOrderError: Nothing says which, or `everything` and something else.
    """

    batch_id: int | None = None
    fingerprint: str | None = None
    run_id: int | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        is_narrowed = (self.batch_id, self.fingerprint, self.run_id) != (None, None, None)
        if is_narrowed == self.everything:
            raise MalformedOrderError("name a batch, a fingerprint or a run, or say that all dead batches are meant")

    @property
    def filters(self) -> tuple[int | None, int | None, str | None]:
        """What the statements take: batch, run, fingerprint."""
        return (self.batch_id, self.run_id, self.fingerprint)

    def __str__(self) -> str:
        words = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) not in (None, False)}
        return " ".join(name if value is True else f"{name}={value}" for name, value in words.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTally:
    """What an order would act on. `letters` are those not out yet; `replayable` batches are still wanted, `discardable` are for letters."""

    batches: int
    runs: int
    letters: int
    replayable: int
    discardable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """Dead batches of one stage and one cause; `error` and `batch_id` are the latest one's."""

    fingerprint: str
    stage: str
    batches: int
    runs: int
    letters: int
    first_died_at: datetime | None
    last_died_at: datetime | None
    batch_id: int
    error: str | None
    can_discard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadBatch:
    """One dead batch, whole. `low` <= member id < `high`; `None` is open. `alike`: dead batches of the same fingerprint, with itself."""

    batch_id: int
    fingerprint: str
    run_id: int
    organization_id: OrganizationId
    run_state: str
    is_wanted: bool
    can_discard: bool
    stage: str
    queue: str
    low: MemberId | None
    high: MemberId | None
    attempts: int
    token: int
    holder: str | None
    died_at: datetime | None
    error: str | None
    alike: int
    members: int
    owed: int
    sending: int
    deferred: int
    accepted: int
    refused: int
    uncertain: int
    suppressed: int
    cancelled: int


async def count(db: Database, selection: Selection) -> DeadTally:
    """Count what an order with this selection would act on, changing nothing."""
    return DeadTally(**await db.fetchrow(COUNT, *selection.filters, list(DISCARDABLE)))


async def replay(db: Database, order: Order, selection: Selection, *, most: int) -> list[int]:
    """Try dead batches again, the oldest `most` of them; returns which.

    Raises:
        Unknown: There is no such batch or run.
        Stale: None of them is dead any more, or what they would do is no longer wanted.
    """
    async with carrying_out(db) as connection:
        rows = await connection.fetch(REPLAY, *selection.filters, order.reason.strip(), most)
        replayed = sorted(row["batch_id"] for row in rows)
        if not replayed:
            raise await _nothing(connection, selection)
        await _note(connection, order, "replay", selection, replayed)
        return replayed


async def discard(db: Database, order: Order, selection: Selection, *, most: int) -> list[int]:
    """Give up the letters of dead batches, the oldest `most` of them; returns which. Those that can't be given up stay dead.

    Raises:
        Unknown: There is no such batch or run.
        Stale: None of them is dead any more.
        Refused: They are dead, and none can be given up; see above.
    """
    async with carrying_out(db) as connection:
        rows = await connection.fetch(DISCARD, *selection.filters, order.reason.strip(), most, list(DISCARDABLE))
        discarded = sorted(row["batch_id"] for row in rows)
        if not discarded:
            if (left := await count(connection, selection)).batches:
                what = f"{'It is' if left.batches == 1 else f'All {left.batches} are'} not for letters: members may still be signed in"
                raise Refused("not_discardable", what, "Replay what is dead once the cause is mended, or cancel the run.")
            raise await _nothing(connection, selection)
        await _note(connection, order, "discard", selection, discarded, letters=sum(row["letters"] for row in rows))
        return discarded


async def list_dead_groups(db: Database, *, run_id: int | None = None, limit: int = 50) -> list[DeadGroup]:
    """Return dead batches by cause, the latest cause first."""
    return [DeadGroup(**row) for row in await db.fetch(GROUPS, run_id, limit, list(DISCARDABLE))]


async def show_dead(db: Database, batch_id: int) -> DeadBatch:
    """Return one dead batch.

    Raises:
        Unknown: There is no such batch.
        Stale: It is not dead, or not any more.
    """
    row = await db.fetchrow(SHOW, batch_id, list(DISCARDABLE))
    if row is None:
        raise await _nothing(db, Selection(batch_id=batch_id))
    return DeadBatch(**row)


async def _nothing(db: Connection | Database, selection: Selection) -> Stale:
    """Say why there was nothing to act on."""
    if selection.batch_id is not None:
        return await _not_this_batch(db, selection.batch_id)
    if selection.run_id is not None:
        found = await db.fetchrow(FIND_RUN, selection.run_id)
        if found is None:
            return Unknown("unknown_run", f"There is no run {selection.run_id}", "`portcullis runs` lists them.")
        what = f"Run {selection.run_id} is {found['state']} and has no dead batch that is still wanted"
        return Stale("not_dead", what, f"`portcullis status {selection.run_id}` shows its batches.")
    what = "No batch is dead" if selection.everything else f"No batch with the fingerprint {selection.fingerprint} is dead"
    return Stale("not_dead", what, "Nothing needs doing; somebody may have acted already. `portcullis actions` lists who did what.")


async def _not_this_batch(db: Connection | Database, batch_id: int) -> Stale:
    found = await db.fetchrow(FIND_BATCH, batch_id)
    if found is None:
        return Unknown("unknown_batch", f"There is no batch {batch_id}", "`portcullis dead` lists the dead ones.")
    if found["state"] != "dead":
        what = f"Batch {batch_id} of run {found['run_id']} is {found['state']}, not dead"
        return Stale("not_dead", what, "Only a dead batch can be replayed or discarded; an open one is tried again by itself.")
    what = f"Batch {batch_id} belongs to run {found['run_id']}, which is {found['run_state']}: what it would do is no longer wanted"
    return Stale("not_wanted", what, "Leave it; `portcullis enforce` opens a new run where one is wanted.")


async def _note(db: Connection, order: Order, verb: str, selection: Selection, batches: list[int], **counts: int) -> None:
    run_id = selection.run_id
    if selection.batch_id is not None:
        run_id = (await db.fetchrow(FIND_BATCH, selection.batch_id))["run_id"]
    details = {"batches": len(batches), "which": batches[:RECORDED], **counts}
    await note(db, order, verb, scope="dead", subject=str(selection), run_id=run_id, details=details)
