"""The audit's tables: entries, seals, checkpoints. They are only ever added to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.audit.entries import Entry
from jobs.audit.tallies import Tally
from jobs.domain.verdicts import Verdict
from jobs.store.database import Connection, Database
from jobs.store.ids import OrganizationId
from jobs.store.statements import statement

HOLD_CHAINS = statement("hold_audit_chains")
LIST_UNSEALED = statement("list_unsealed_entries")
FIND_TAILS = statement("find_audit_tails")
WRITE_SEALS = statement("write_audit_seals")
LAST_CHECKPOINT = statement("find_last_checkpoint")
FIND_CHECKPOINT = statement("find_checkpoint")
NEW_HEADS = statement("list_new_heads")
WRITE_CHECKPOINT = statement("write_checkpoint")
STREAM = statement("stream_audit")
STREAM_UNSEALED = statement("stream_unsealed_entries")
STREAM_CHECKPOINTS = statement("stream_checkpoints")
FIND_SEALS = statement("find_seals")
HAS_SEAL = statement("has_audit_seal")
IS_FOLLOWED = statement("is_seal_followed")
COMPARE = statement("compare_audit")
COMPARE_ALL = (statement("compare_switches"), statement("compare_orders"), statement("compare_factors"))
RECORD_TIMES = statement("find_record_times")
TALLY_LEDGER = statement("tally_ledger")
PROVE = statement("prove_run")
ENFORCED_SINCE = statement("list_enforced_since")
OF_YESTERDAY = statement("find_entry_of_yesterday")
HORIZON = statement("find_audit_horizon")
WRITE_RESULT = statement("write_audit_result")
UNCHECKPOINTED = statement("count_uncheckpointed")

PREFETCH = 50
"""Rows that are under way while a chain is read: less than a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One place in a chain."""

    run_id: int
    place: int
    entry_id: int
    key_id: str
    previous: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A seal and the entry that it names; `None`: there is no such entry."""

    seal: Seal
    entry: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """An entry without a seal. `is_waiting`: it is on the list of those that get one; `age` in seconds."""

    entry: Entry
    is_waiting: bool
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain ends."""

    run_id: int
    place: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """Something that an entry says and a row denies, or the other way round."""

    run_id: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is so of a run now. `joined_since`: members whom it did not judge; `None`: its rows were removed, nobody can say."""

    asked_at: datetime
    state: str
    epoch: int
    finished_at: datetime | None
    is_standing: bool | None
    forgotten_at: datetime | None
    requested_by: UUID | None
    unprotected_sessions: int
    joined_since: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The highest number that is seen. Whoever has a lower one and is not over is a transaction before `next`, from `oldest` on."""

    entry_id: int
    next: int
    oldest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed statement, as it was written."""

    number: int
    made_at: datetime
    key_id: str
    body: str
    signature: bytes


async def hold_chains(db: Connection) -> bool:
    """Become the only sealer until the transaction ends. False: somebody else is."""
    return bool(await db.fetchval(HOLD_CHAINS))


async def list_unsealed(db: Connection, *, limit: int) -> list[Entry]:
    """Return entries that wait for a seal, in order."""
    return [_entry(row) for row in await db.fetch(LIST_UNSEALED, limit)]


async def find_tails(db: Connection, runs: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    """Return place and digest of the last seal, by chain."""
    return {row["run_id"]: (row["place"], row["digest"]) for row in await db.fetch(FIND_TAILS, runs)}


async def write_seals(db: Connection, seals: Sequence[Seal]) -> None:
    """Write seals; all under one key."""
    await db.execute(
        WRITE_SEALS,
        [seal.run_id for seal in seals],
        [seal.place for seal in seals],
        [seal.entry_id for seal in seals],
        seals[0].key_id,
        [seal.previous for seal in seals],
        [seal.digest for seal in seals],
    )


async def last_checkpoint(db: Database) -> Checkpoint | None:
    """Return the latest checkpoint."""
    row = await db.fetchrow(LAST_CHECKPOINT)
    return None if row is None else Checkpoint(**row)


async def find_checkpoint(db: Database, number: int) -> Checkpoint | None:
    """Return the checkpoint of that number."""
    row = await db.fetchrow(FIND_CHECKPOINT, number)
    return None if row is None else Checkpoint(**row)


async def new_heads(db: Connection, since: int) -> tuple[list[Head], int]:
    """Return the chains that grew since that seal, and the last seal of all."""
    rows = await db.fetch(NEW_HEADS, since)
    heads = [Head(run_id=row["run_id"], place=row["place"], digest=row["digest"]) for row in rows]
    return heads, rows[0]["upto"] if rows else since


async def write_checkpoint(db: Connection, number: int, key_id: str, body: str, signature: bytes) -> None:
    """Write a checkpoint."""
    await db.execute(WRITE_CHECKPOINT, number, key_id, body, signature)


async def stream(db: Connection, run_id: int | None) -> AsyncIterator[Sealed]:
    """Return every seal with its entry, chain by chain, in order; in the caller's transaction."""
    async for row in db.cursor(STREAM, run_id, prefetch=PREFETCH):
        seal = Seal(
            run_id=row["chain"],
            place=row["place"],
            entry_id=row["sealed_entry"],
            key_id=row["seal_key_id"],
            previous=row["previous"],
            digest=row["digest"],
        )
        yield Sealed(seal=seal, entry=None if row["entry_id"] is None else _entry(row))


async def stream_unsealed(db: Connection, run_id: int | None) -> AsyncIterator[Unsealed]:
    """Return every entry without a seal; in the caller's transaction."""
    async for row in db.cursor(STREAM_UNSEALED, run_id, prefetch=PREFETCH):
        yield Unsealed(entry=_entry(row), is_waiting=row["is_waiting"], age=row["age"])


async def stream_checkpoints(db: Connection) -> AsyncIterator[Checkpoint]:
    """Return every checkpoint, in order; in the caller's transaction."""
    async for row in db.cursor(STREAM_CHECKPOINTS, prefetch=PREFETCH):
        yield Checkpoint(**row)


async def find_seals(db: Connection, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes | None]:
    """Return the seals at these places (run, place); `None`: there is none."""
    rows = await db.fetch(FIND_SEALS, [run for run, _ in places], [place for _, place in places])
    return {(row["run_id"], row["place"]): row["digest"] for row in rows}


async def has_seal(db: Connection, run_id: int, digest: bytes) -> bool:
    """Return whether a chain has that seal anywhere."""
    return bool(await db.fetchval(HAS_SEAL, run_id, digest))


async def is_followed(db: Connection, seal: Seal, previous: bytes) -> bool:
    """Return whether another seal of its chain than this one follows `previous`."""
    return bool(await db.fetchval(IS_FOLLOWED, seal.run_id, previous, seal.entry_id))


async def compare(db: Connection, run_id: int | None) -> list[Unlike]:
    """Return where entries do not agree with one run and its batches, or with all of them and whatever else is recorded; the first few."""
    found = await db.fetch(COMPARE, run_id)
    if run_id is None:
        found += [row for question in COMPARE_ALL for row in await db.fetch(question)]
    return [Unlike(**row) for row in found]


async def tally_ledger(db: Connection, run_id: int) -> Tally | None:
    """Return the ledger's sums over a run's members; `None`: it can't say, any more or yet."""
    row = await db.fetchrow(TALLY_LEDGER, run_id)
    if row is None:
        return None
    return Tally(
        judged=row["judged"],
        sessions_ended=row["sessions_ended"],
        people=int(row["people"]),
        ends=int(row["ends"]),
        verdicts={verdict: row[verdict] for verdict in Verdict},
    )


async def prove(db: Connection, run_id: int, organization: OrganizationId) -> Proof:
    """Ask again whether a run's purpose is fulfilled; over everybody of the organization."""
    return Proof(**await db.fetchrow(PROVE, run_id, organization))


async def record_times(db: Connection, run_id: int) -> dict[str, datetime | None]:
    """Return when a run was required, ended its last session, and was over, as its entries say."""
    return dict(await db.fetchrow(RECORD_TIMES, run_id))


async def organization_of(db: Connection, run_id: int) -> OrganizationId:
    """Return whose run it is."""
    organization: OrganizationId = await db.fetchval("SELECT organization_id FROM portcullis.run WHERE run_id = $1", run_id)
    return organization


async def count_uncheckpointed(db: Connection, signed: Mapping[int, int]) -> tuple[int, float]:
    """Return how many seals stand behind the place up to which their chain was signed for, and the age of the oldest entry in seconds."""
    row = await db.fetchrow(UNCHECKPOINTED, list(signed), list(signed.values()))
    return row["seals"], row["age"]


async def check(db: Connection, invariant: str, *arguments: object) -> tuple[int, str]:
    """Ask one invariant's query (`sql/check_i2.sql` for I2): how many violations, and the first one in words."""
    row = await db.fetchrow(statement(f"check_{invariant.lower()}"), *arguments)
    return row["found"], row["words"] or ""


async def entry_of_yesterday(db: Connection) -> int:
    """Return the last entry that is more than a day old; 0: there is none."""
    return int(await db.fetchval(OF_YESTERDAY))


async def horizon(db: Connection) -> Horizon:
    """Return how far the record has come, and which transactions may still write below that."""
    return Horizon(**await db.fetchrow(HORIZON))


async def list_enforced_since(db: Connection, entry_id: int, *, but: Sequence[int], limit: int) -> list[Entry]:
    """Return entries about enforced batches after that one, `but` some that are known, in order."""
    return [_entry(row) for row in await db.fetch(ENFORCED_SINCE, entry_id, limit, but)]


async def write_result(db: Connection, invariant: str, found: int, words: str | None, seconds: float) -> None:
    """Show what was found about an invariant."""
    await db.execute(WRITE_RESULT, invariant, found, words, seconds)


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__slots__})
