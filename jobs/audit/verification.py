"""Find the first entry of the audit that was edited, inserted, reordered, removed or cut off; or say that there is none.

Read in one snapshot, chain by chain, a few entries at a time: memory stays flat whatever was recorded. Three things are held together:
each seal against its entry and the seal before; the chains against the signed checkpoints; and the entries against what else the
database knows, as long as it does (jobs/audit/comparison.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobs.audit import checkpoints, comparison, sealing, signing
from jobs.audit.entries import Entry, is_vouched_for
from jobs.audit.findings import Finding, Found, Kind
from jobs.audit.sealing import GENESIS
from jobs.audit.signing import PublicKeys
from jobs.audit.tallies import Tally
from jobs.keys import Key, KeyRing, Purpose
from jobs.store import audit
from jobs.store.audit import Checkpoint, Head, Sealed
from jobs.store.database import Connection, Transaction

UNSEALED_SECONDS = 600.0
"""How long an entry may wait for its seal, and a seal for its checkpoint: while no conductor runs nobody writes them."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What was looked at, and the first thing that is wrong; `None`: nothing is. `waiting` entries are not sealed yet."""

    chains: int = 0
    entries: int = 0
    members: int = 0
    checkpoints: int = 0
    waiting: int = 0
    last_mark: str | None = None
    finding: Finding | None = None
    tallies: dict[int, Tally] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is believed: the ring, public keys of checkpoints, and marks of checkpoints that somebody kept, by their number.

    Without a ring seals are only held against each other, and against the signed checkpoints.
    """

    ring: KeyRing | None
    public_keys: PublicKeys
    witnesses: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def in_ring(cls, ring: KeyRing) -> "Trust":
        """Trust what the ring signs."""
        return cls(ring=ring, public_keys=signing.public_keys(ring))


async def verify(db: Connection, trust: Trust, run_id: int | None = None) -> Report:
    """Verify one run's record or all of it, and stop at the first finding. Reads only; within `one_snapshot` of the caller's, in that."""
    report = Report()
    try:
        async with one_snapshot(db):
            await _verify_chains(db, trust, run_id, report)
            await _verify_checkpoints(db, trust, run_id, report)
            await _verify_unsealed(db, trust, run_id, report)
            await comparison.compare(db, run_id, report.tallies)
    except Found as found:
        report.finding = found.finding
    report.members = sum(tally.judged for tally in report.tallies.values())
    return report


def one_snapshot(db: Connection) -> Transaction:
    """Begin a transaction in which everything that is read was so at one moment, and nothing can be changed."""
    return db.transaction(isolation="repeatable_read", readonly=True)


async def _verify_chains(db: Connection, trust: Trust, run_id: int | None, report: Report) -> None:
    chain, place, previous = None, 0, GENESIS
    async for sealed in audit.stream(db, run_id):
        if sealed.seal.run_id != chain:
            chain, place, previous = sealed.seal.run_id, 0, GENESIS
            report.chains += 1
        entry = await _verify_seal(db, trust, sealed, place + 1, previous)
        _count(trust, entry, report)
        place, previous = sealed.seal.place, sealed.seal.digest
        report.entries += 1


async def _verify_seal(db: Connection, trust: Trust, sealed: Sealed, place: int, previous: bytes) -> Entry:
    """Return the entry of a seal that fits itself and the one before."""
    seal, entry = sealed.seal, sealed.entry
    if entry is None:
        raise _found(sealed, Kind.MISSING, f"the entry at place {seal.place} is gone, its seal is still there")
    if trust.ring is not None:
        key = trust.ring.find(seal.key_id, Purpose.AUDIT)
        if key is None:
            raise _found(sealed, Kind.UNKNOWN_KEY, f"place {seal.place} is sealed with key {seal.key_id}, which is not in the ring")
        if entry.run_id != seal.run_id or sealing.digest(key, seal.previous, entry) != seal.digest:
            raise await _misfit(db, key, sealed, previous)
    if seal.previous != previous:
        if await audit.has_seal(db, seal.run_id, seal.previous) or seal.previous == GENESIS:
            raise _found(sealed, Kind.REORDERED, f"what stands at place {seal.place} belongs elsewhere in the chain")
        raise _found(sealed, Kind.MISSING, f"what stood before place {seal.place} is gone, with its seal")
    if seal.place != place:
        raise _found(sealed, Kind.REORDERED, f"what stands at place {seal.place} belongs to place {place}")
    return entry


async def _misfit(db: Connection, key: Key, sealed: Sealed, previous: bytes) -> Found:
    """Say why a seal does not fit its entry."""
    seal = sealed.seal
    if await audit.is_followed(db, seal, previous):
        return _found(sealed, Kind.INSERTED, f"place {seal.place} was put in: the chain goes on without it")
    async for other in audit.stream(db, seal.run_id):
        if other.entry and sealing.digest(key, seal.previous, other.entry) == seal.digest:
            return _found(sealed, Kind.REORDERED, f"the entry at place {seal.place} was exchanged with the one at {other.seal.place}")
    return _found(sealed, Kind.EDITED, f"the entry at place {seal.place} is not what was sealed")


def _count(trust: Trust, entry: Entry, report: Report) -> None:
    """Hold an entry against its worker's code, and add it to the sums of its run."""
    if entry.effect != "enforced":
        return
    if trust.ring is not None:
        if entry.key_id is None:
            raise _entry_found(entry, Kind.INSERTED, "no worker vouches for it")
        key = trust.ring.find(entry.key_id, Purpose.AUDIT)
        if key is None:
            raise _entry_found(entry, Kind.UNKNOWN_KEY, f"a worker vouched for it with key {entry.key_id}, which is not in the ring")
        if not is_vouched_for(key, entry):
            raise _entry_found(entry, Kind.INSERTED, "no worker wrote it as it stands: the code of its worker does not fit")
    try:
        report.tallies.setdefault(entry.run_id, Tally()).add_entry(entry)
    except (ValueError, KeyError, TypeError) as error:
        raise _entry_found(entry, Kind.EDITED, "it can't be read") from error


async def _verify_checkpoints(db: Connection, trust: Trust, run_id: int | None, report: Report) -> None:
    last: Checkpoint | None = None
    signed: dict[int, int] = {}
    async for checkpoint in audit.stream_checkpoints(db):
        heads = await _verify_checkpoint(db, trust, run_id, checkpoint, last)
        signed |= {head.run_id: head.place for head in heads}
        last = checkpoint
        report.checkpoints += 1
    report.last_mark = checkpoints.mark(last) if last else None
    beyond = [number for number in trust.witnesses if number > (last.number if last else 0)]
    if beyond:
        raise Found(Finding(kind=Kind.NO_CHECKPOINT, words=f"checkpoint {min(beyond)}, which a witness names, is gone"))
    # By place and by when the entry was written: both are sealed, and the number and the time of a seal are not.
    seals, age = await audit.count_uncheckpointed(db, signed)
    if seals and age > UNSEALED_SECONDS:
        words = f"{seals} seals, of an entry of {age:.0f} s ago on, stand under no checkpoint: checkpoints are gone, or no conductor runs"
        raise Found(Finding(kind=Kind.NO_CHECKPOINT, words=words))


async def _verify_checkpoint(
    db: Connection, trust: Trust, run_id: int | None, checkpoint: Checkpoint, last: Checkpoint | None
) -> list[Head]:
    """Verify one checkpoint; returns the ends of chains that it names."""
    number = last.number + 1 if last else 1
    if checkpoint.number != number:
        raise Found(Finding(kind=Kind.NO_CHECKPOINT, words=f"checkpoint {number} is gone"))
    if checkpoint.key_id not in trust.public_keys:
        words = f"checkpoint {number} is signed with key {checkpoint.key_id}, which is not known here"
        raise Found(Finding(kind=Kind.UNKNOWN_KEY, words=words))
    if not signing.is_signed(trust.public_keys, checkpoint.key_id, checkpoint.body.encode(), checkpoint.signature):
        raise Found(Finding(kind=Kind.EDITED, words=f"checkpoint {number} is not what was signed"))
    try:
        said = checkpoints.read(checkpoint)
    except ValueError as error:
        raise Found(Finding(kind=Kind.EDITED, words=f"checkpoint {number} is none, though somebody signed it")) from error
    if said.number != number or said.previous != (checkpoints.mark(last) if last else None):
        raise Found(Finding(kind=Kind.NO_CHECKPOINT, words=f"checkpoint {number} follows another one than stands before it"))
    if trust.witnesses.get(number, checkpoints.mark(checkpoint)) != checkpoints.mark(checkpoint):
        raise Found(Finding(kind=Kind.NO_CHECKPOINT, words=f"checkpoint {number} is another one than the witness saw"))
    heads = [head for head in said.heads if run_id in {None, head.run_id}]
    there = await audit.find_seals(db, [(head.run_id, head.place) for head in heads])
    for head in heads:
        found = there[head.run_id, head.place]
        if found is None:
            words = f"checkpoint {number} saw {head.place} entries; what came after is cut off"
            raise Found(Finding(kind=Kind.CUT_OFF, words=words, run_id=head.run_id, place=head.place))
        if found != head.digest:
            words = f"place {head.place} is another one than checkpoint {number} saw"
            raise Found(Finding(kind=Kind.EDITED, words=words, run_id=head.run_id, place=head.place))
    return said.heads


async def _verify_unsealed(db: Connection, trust: Trust, run_id: int | None, report: Report) -> None:
    async for unsealed in audit.stream_unsealed(db, run_id):
        entry = unsealed.entry
        if not unsealed.is_waiting:
            raise _entry_found(entry, Kind.MISSING, "its seal is gone")
        if unsealed.age > UNSEALED_SECONDS:
            raise _entry_found(entry, Kind.MISSING, f"it has waited for its seal for {unsealed.age:.0f} s: no conductor runs")
        _count(trust, entry, report)
        report.waiting += 1


def _found(sealed: Sealed, kind: Kind, words: str) -> Found:
    seal = sealed.seal
    return Found(Finding(kind=kind, words=words, run_id=seal.run_id, place=seal.place, entry_id=seal.entry_id))


def _entry_found(entry: Entry, kind: Kind, words: str) -> Found:
    return Found(
        Finding(kind=kind, words=f"entry {entry.entry_id} ({entry.effect}): {words}", run_id=entry.run_id, entry_id=entry.entry_id)
    )
