"""Certificates: "done", asked again as a query, with the head of the run's record, and signed.

Whoever has the public key verifies one without the database and without us. People appear under the audit's pseudonyms. A run that was
cancelled, and one whose requirement was lifted, get a certificate too, which says so and does not say that the run is done.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.audit import signing
from jobs.audit.findings import Found
from jobs.audit.signing import PublicKeys
from jobs.audit.verification import Report, Trust, one_snapshot, verify
from jobs.keys import KeyRing
from jobs.store import audit, runs
from jobs.store.audit import Proof
from jobs.store.database import Connection

FORMAT = "portcullis certificate 1"

STATED = (
    "run_id",
    "organization_id",
    "epoch",
    "state",
    "reason",
    "effective_at",
    "stopped_because",
    "members",
    "verdicts",
    "sessions_ended",
    "letters",
    "last_letter_at",
    "batches",
)
"""What is taken from the run's status, which verification holds against the record; when things happened is taken from the record."""


class Unprovable(Exception):  # noqa: N818 -- an answer, not a fault
    """No certificate can be given. `name` is for scripts, `to_do` says what helps."""

    def __init__(self, name: str, words: str, to_do: str) -> None:
        self.name, self.to_do = name, to_do
        super().__init__(words)


class BadCertificate(Exception):  # noqa: N818 -- an answer, not a fault
    """A document is no certificate, was changed, or is signed by nobody who is known. `is_unknown`: the last of these."""

    def __init__(self, words: str, *, is_unknown: bool = False) -> None:
        self.is_unknown = is_unknown
        super().__init__(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is certified, by which key, and its signature over `text(stated)`."""

    stated: dict[str, Any]
    key_id: str
    public_key: str
    signature: bytes

    @property
    def is_done(self) -> bool:
        """Whether it says that the run did what it was for, and that this still stands."""
        return self.stated["done"] is True

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        signature = base64.b64encode(self.signature).decode()
        return {"certificate": self.stated, "key": self.key_id, "public_key": self.public_key, "signature": signature}


async def prove(db: Connection, ring: KeyRing, run_id: int) -> Certificate:
    """Verify the run's record, ask whether the run is done, and sign the answer: all in one snapshot. Reads only.

    Raises:
        Found: The record was touched.
        Unprovable: The run is still running, or what it achieved is no longer so.
    """
    async with one_snapshot(db):
        report = await verify(db, Trust.in_ring(ring), run_id)
        if report.finding is not None:
            raise Found(report.finding)
        stated = json.loads(json.dumps(await _ask(db, run_id, report), default=str))
    key_id, signature = signing.sign(ring, text(stated))
    public = signing.write_public(key_id, signing.public_keys(ring)[key_id])
    return Certificate(stated=stated, key_id=key_id, public_key=public, signature=signature)


async def _ask(db: Connection, run_id: int, report: Report) -> dict[str, Any]:
    status = await runs.status(db, run_id)
    if status["state"] == "running":
        open_ = status["batches"]["open"] + status["batches"]["dead"]
        words = f"Run {run_id} is not done: it is in stage {status['stage']}, {open_} batches are not finished"
        raise Unprovable("still_running", words, f"Wait for it: `portcullis watch {run_id}`.")
    if report.waiting:
        words = f"{report.waiting} entries of run {run_id} are not sealed yet"
        raise Unprovable("not_sealed", words, "Try again in a few seconds; a conductor seals them, see that one runs.")
    if not report.entries:
        words = f"Nothing was recorded of run {run_id}: it is from before there was a record"
        raise Unprovable("no_record", words, f"`portcullis status {run_id}` says what is known of it.")
    proof = await audit.prove(db, run_id, await audit.organization_of(db, run_id))
    is_done = proof.state == "done" and bool(proof.is_standing)
    if is_done and proof.unprotected_sessions:
        words = f"Run {run_id} was done, and is not any more: {proof.unprotected_sessions} sessions of unprotected members are live"
        raise Unprovable("unprotected_sessions", words, "See how they began: does every way of signing in ask the gate?")
    head = await audit.find_tails(db, [run_id])
    place, digest = head.get(run_id, (0, b""))
    checkpoint = await audit.last_checkpoint(db)
    return {
        "format": FORMAT,
        "done": is_done,
        "proved_at": proof.asked_at.isoformat(),
        "by": str(proof.requested_by) if proof.requested_by else None,
        **{name: status.get(name) for name in STATED},
        **await audit.record_times(db, run_id),
        **_found(proof),
        "audit": {
            "entries": report.entries,
            "head": {"place": place, "digest": digest.hex()},
            "checkpoint": None if checkpoint is None else {"number": checkpoint.number, "mark": report.last_mark},
        },
    }


def read(document: Mapping[str, Any], keys: PublicKeys) -> Certificate:
    """Read a certificate and verify its signature.

    Raises:
        BadCertificate: It is none, was changed, or nobody who is known signed it.
    """
    try:
        certificate = Certificate(
            stated=document["certificate"],
            key_id=document["key"],
            public_key=document["public_key"],
            signature=base64.b64decode(document["signature"], validate=True),
        )
        is_ours = certificate.stated["format"] == FORMAT and isinstance(certificate.key_id, str)
    except (KeyError, TypeError, binascii.Error, ValueError):
        is_ours = False
    if not is_ours:
        raise BadCertificate("this is no certificate of Portcullis")
    if certificate.key_id not in keys:
        raise BadCertificate(f"it is signed with key {certificate.key_id}, which is not known here", is_unknown=True)
    if not signing.is_signed(keys, certificate.key_id, text(certificate.stated), certificate.signature):
        raise BadCertificate(f"it is not what key {certificate.key_id} signed")
    return certificate


def text(stated: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: JSON with sorted keys, no blanks, ASCII only."""
    return json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _found(proof: Proof) -> dict[str, Any]:
    """Return what the query found; sessions only while the requirement stands: afterwards they are nobody's business."""
    return {
        "requirement_stands": bool(proof.is_standing),
        "unprotected_live_sessions": proof.unprotected_sessions if proof.is_standing else None,
        "joined_since": proof.joined_since if proof.is_standing else None,
        "members_forgotten_at": proof.forgotten_at,
    }
