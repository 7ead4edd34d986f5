"""I15: each effect has one entry in the audit, written in its transaction. A part of the checker; shares no code with what it checks.

What a record is, is read here from the table's own description: 13 bytes a member, a pseudonym, a letter and a number. That an entry and
an effect belong to one transaction is PostgreSQL's word (`xmin`), not ours.
"""

import json
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.checker import Evidence

RECORD = struct.Struct(">qci")
VERDICTS = {b"U": "unprotected", b"P": "protected", b"S": "sso", b"E": "exempt", b"I": "inactive"}


def violations(evidence: "Evidence") -> Iterator[str]:
    """Return every violation of I15 in words."""
    yield from _orders(evidence)
    yield from _batches(evidence)
    yield from _members(evidence)
    yield from _transactions(evidence)
    yield from _letters(evidence)


def _of(evidence: "Evidence", run_id: int, effect: str) -> list[dict[str, Any]]:
    return [entry for entry in evidence.entries if entry["run_id"] == run_id and entry["effect"] == effect]


def _records(entry: dict[str, Any]) -> list[tuple[int, bytes, int]]:
    return list(RECORD.iter_unpack(entry["records"] or b""))


def _orders(evidence: "Evidence") -> Iterator[str]:
    ended_as = {"done": "finished", "cancelled": "stopped"}
    for run in evidence.runs:
        wanted = {"required": 1} | {effect: int(state == run["state"]) for state, effect in ended_as.items()}
        for effect, times in wanted.items():
            if (found := len(_of(evidence, run["run_id"], effect))) != times:
                yield f"I15: run {run['run_id']} is {run['state']}, and {found} entries say {effect}"


def _batches(evidence: "Evidence") -> Iterator[str]:
    for run in evidence.runs:
        entries = Counter(entry["batch_id"] for entry in _of(evidence, run["run_id"], "enforced"))
        for batch in evidence.batches_of(run, "enforce"):
            should = int(batch["state"] == "done")
            if entries[batch["batch_id"]] != should:
                yield f"I15: batch {batch['batch_id']} is {batch['state']} and has {entries[batch['batch_id']]} entries"
        for entry in _of(evidence, run["run_id"], "enforced"):
            judged, told = _records(entry), json.loads(entry["told"])
            if sum(letter.isupper() for _, letter, _ in judged) != told["members"]:
                yield f"I15: entry {entry['entry_id']} counts {told['members']} members and names another number"
            if sum(number for _, _, number in judged) != told["sessions_ended"]:
                yield f"I15: entry {entry['entry_id']} counts {told['sessions_ended']} sessions and names another number"


def _members(evidence: "Evidence") -> Iterator[str]:
    for run in evidence.runs:
        first, verdict, ended = Counter[int](), dict[int, str](), Counter[int]()
        for entry in _of(evidence, run["run_id"], "enforced"):
            for subject, letter, number in _records(entry):
                first[subject] += letter.isupper()
                verdict[subject] = VERDICTS[letter.upper()]
                ended[subject] += number
        ledger = {row["subject"]: row for row in evidence.letters_of(run, "notice")}
        for subject in first.keys() | ledger.keys():
            row = ledger.get(subject)
            if row is None or first[subject] != 1:
                times = f"{first[subject]} times in the audit, {int(row is not None)} in the ledger"
                yield f"I15: somebody in run {run['run_id']} is judged {times}"
            elif (row["verdict"], row["sessions_ended"]) != (verdict[subject], ended[subject]):
                yield f"I15: of a member of run {run['run_id']} the audit says {verdict[subject]}, {ended[subject]}, the ledger otherwise"


def _transactions(evidence: "Evidence") -> Iterator[str]:
    """Sessions that a run ended were written down by the transaction that ended them."""
    happened: defaultdict[str, int] = defaultdict(int)
    for ended in evidence.ended or ():
        if ended["by_run"] and ended.get("xid"):
            happened[ended["xid"]] += 1
    written = Counter[str]()
    for entry in evidence.entries:
        if entry["effect"] == "enforced":
            written[entry["xid"]] += sum(number for _, _, number in _records(entry))
    for xid in happened.keys() | {xid for xid, number in written.items() if number}:
        if evidence.ended is not None and happened[xid] != written[xid]:
            yield f"I15: a transaction ended {happened[xid]} sessions and wrote down {written[xid]}"


def _letters(evidence: "Evidence") -> Iterator[str]:
    told = {(entry["run_id"], entry["batch_id"]): entry for entry in evidence.entries if entry["effect"] == "notified"}
    for batch in evidence.batches:
        is_over = batch["queue"] == "notify" and batch["state"] in {"done", "cancelled"} and batch["done_at"] is not None
        if not is_over or not batch["accepted"] + batch["refused"] + batch["uncertain"]:
            continue
        entry = told.get((batch["run_id"], batch["batch_id"]))
        if entry is None:
            yield f"I15: letters of batch {batch['batch_id']} left, and no entry says so"
        elif Counter(letter for _, letter, _ in _records(entry))[b"A"] != json.loads(entry["told"])["accepted"]:
            yield f"I15: entry {entry['entry_id']} counts other letters than it names"
