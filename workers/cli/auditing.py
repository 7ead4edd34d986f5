"""The audit on the command line: verify it, print the public key, prove that a run is done."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.audit import certificates, signing, verification
from jobs.audit.certificates import BadCertificate, Certificate, Unprovable
from jobs.audit.findings import Finding, Found, Kind
from jobs.audit.signing import PublicKeys
from jobs.audit.verification import Report, Trust
from jobs.store import operations
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import BIGGEST_ID, AsJson
from workers.cli.screen import moment, tell, tell_json
from workers.settings import KeySettings

CODES = {
    Kind.EDITED: ExitCode.AUDIT_EDITED,
    Kind.INSERTED: ExitCode.AUDIT_INSERTED,
    Kind.REORDERED: ExitCode.AUDIT_REORDERED,
    Kind.MISSING: ExitCode.AUDIT_MISSING,
    Kind.CUT_OFF: ExitCode.AUDIT_CUT_OFF,
    Kind.NO_CHECKPOINT: ExitCode.AUDIT_NO_CHECKPOINT,
    Kind.UNKNOWN_KEY: ExitCode.AUDIT_UNKNOWN_KEY,
    Kind.DISAGREES: ExitCode.AUDIT_DISAGREES,
}

EVERYTHING_ELSE = 0
"""The chain of what belongs to no run."""

Run: TypeAlias = Annotated[
    int | None, Parameter(help="Number of the run; by default everything is verified.", validator=Number(gte=0, lte=BIGGEST_ID))
]
PublicKey: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        name="--public-key", negative=(), show_default=False, help="Believe these signatures only: id:base64, as `audit key` prints it."
    ),
]
Witness: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        name="--witness",
        negative=(),
        show_default=False,
        help="A checkpoint that you kept, number:mark, from a certificate, an earlier verification or the conductor's log.",
    ),
]


async def verify(run: Run = None, /, *, public_key: PublicKey = (), witness: Witness = (), as_json: AsJson = False) -> ExitCode:
    """Verify the record of one run, or all of it: find the first entry that was touched.

    Names the first entry that was edited, put in, moved, removed or cut off, a checkpoint that is missing, a key that is not in the ring,
    and where record and ledger disagree; each has an exit code of its own. Reads only. Needs DATABASE_URL and PORTCULLIS_KEYS; with
    `--public-key` and without the ring, checks signatures and order only.

    ```console
    $ portcullis audit verify
    $ portcullis audit verify 7 --witness 1312:9f86d0…
    ```
    """
    trust = _trust(public_key, witness)
    async with connected() as db:
        report = await verification.verify(db, trust, run)
        if run and not report.entries and not report.waiting:
            await operations.look(db, run)  # says that there is none
    if as_json:
        tell_json(_document(report, trust))
    elif report.finding is None:
        tell(*_summary(report, trust))
    if report.finding is None:
        return ExitCode.OK
    if not as_json:
        raise _touched(report.finding)
    return CODES[report.finding.kind]


def key(*, as_json: AsJson = False) -> None:
    """Print the public keys that verify checkpoints and certificates; the first one signs now.

    Needs PORTCULLIS_KEYS only. Give the line to whoever is to verify without your keys.

    ```console
    $ portcullis audit key
    ```
    """
    lines = [signing.write_public(key_id, public) for key_id, public in signing.public_keys(KeySettings.load().key_ring).items()]
    if as_json:
        tell_json({"public_keys": lines})
    else:
        tell(*lines)


async def prove(
    run: Annotated[int | None, Parameter(help="Number of the run.", validator=Number(gte=1, lte=BIGGEST_ID))] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Write the certificate into this file.", show_default=False)] = None,
    check: Annotated[Path | None, Parameter(help="Verify the certificate in this file, without a database.", show_default=False)] = None,
    public_key: PublicKey = (),
    as_json: AsJson = False,
) -> ExitCode:
    """Prove that a run is done: ask again, and print a signed certificate.

    Epoch, by whose order and when, members per verdict, sessions ended, no live session of anybody unprotected, letters per outcome, and
    the head of the record, which is verified first. A running run is refused; a cancelled one, and one whose requirement was lifted, get a
    certificate that says so, and exit code 1. Needs DATABASE_URL and PORTCULLIS_KEYS; `--check` needs a public key, or the ring, only.

    ```console
    $ portcullis prove 7 --out run-7.json
    $ portcullis prove --check run-7.json --public-key "$(portcullis audit key)"
    ```
    """
    if (run is None) == (check is None):
        raise Failure(ExitCode.USAGE, "usage", "Name a run to prove, or a file to --check", "`portcullis prove --help` shows both.")
    certificate = await _prove(run) if run is not None else _check(check or Path(), public_key)
    if out is not None:
        _write(out, certificate.as_json())
    if as_json:
        tell_json(certificate.as_json())
    else:
        tell(*_stated(certificate), *([f"Written to {out}"] if out else []))
    return ExitCode.OK if certificate.is_done else ExitCode.REFUSED


async def _prove(run: int) -> Certificate:
    ring = KeySettings.load().key_ring
    async with connected() as db:
        await operations.look(db, run)
        try:
            return await certificates.prove(db, ring, run)
        except Found as found:
            raise _touched(found.finding) from None
        except Unprovable as unprovable:
            raise Failure(ExitCode.REFUSED, unprovable.name, str(unprovable), unprovable.to_do) from None


def _check(path: Path, public_key: tuple[str, ...]) -> Certificate:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise Failure(ExitCode.USAGE, "unreadable", f"{path} can't be read: {words}", "Name the file that `--out` wrote.") from None
    try:
        return certificates.read(document, _public_keys(public_key))
    except BadCertificate as bad:
        code, name = (ExitCode.AUDIT_UNKNOWN_KEY, Kind.UNKNOWN_KEY) if bad.is_unknown else (ExitCode.AUDIT_EDITED, Kind.EDITED)
        raise Failure(
            code, name, f"The certificate in {path} is not to be believed: {bad}", "Ask for it again where it came from."
        ) from None


def _trust(public_key: tuple[str, ...], witness: tuple[str, ...]) -> Trust:
    ring = None if public_key and not os.environ.get("PORTCULLIS_KEYS") else KeySettings.load().key_ring
    return Trust(ring=ring, public_keys=_public_keys(public_key), witnesses=dict(map(_witness, witness)))


def _public_keys(given: tuple[str, ...]) -> PublicKeys:
    if not given:
        return signing.public_keys(KeySettings.load().key_ring)
    try:
        return signing.read_public(given)
    except ValueError as error:
        raise Failure(ExitCode.USAGE, "usage", str(error), "`portcullis audit key` prints it where the ring is.") from None


def _witness(text: str) -> tuple[int, str]:
    number, _, mark = text.partition(":")
    if not number.isdecimal() or len(mark) != 64:  # noqa: PLR2004 -- SHA-256 in hexadecimal
        raise Failure(ExitCode.USAGE, "usage", f"{text!r} is no checkpoint", "Write number:mark, the mark has 64 digits.")
    return int(number), mark


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(ExitCode.USAGE, "unwritable", f"{path} can't be written: {error.strerror}", "Name another file.") from None


def _touched(finding: Finding) -> Failure:
    chain = "" if finding.run_id is None else "the chain of no run: " if finding.run_id == EVERYTHING_ELSE else f"run {finding.run_id}: "
    to_do = "Keep the database as it is and compare it with a backup; nothing was changed by looking."
    return Failure(CODES[finding.kind], str(finding.kind), f"The record is not to be believed: {chain}{finding.words}", to_do)


def _document(report: Report, trust: Trust) -> dict[str, Any]:
    finding = report.finding
    return {
        "whole": finding is None,
        "with_ring": trust.ring is not None,
        "chains": report.chains,
        "entries": report.entries,
        "members": report.members,
        "checkpoints": report.checkpoints,
        "not_sealed_yet": report.waiting,
        "last_checkpoint": report.last_mark and f"{report.checkpoints}:{report.last_mark}",
        "finding": None
        if finding is None
        else {"kind": finding.kind, "run_id": finding.run_id, "place": finding.place, "entry_id": finding.entry_id, "words": finding.words},
    }


def _summary(report: Report, trust: Trust) -> list[str]:
    how = "" if trust.ring else " Without the ring seals were held against checkpoints only."
    waiting = f" {report.waiting:,} more wait for their seal." if report.waiting else ""
    kept = [f"Keep this for the next time: --witness {report.checkpoints}:{report.last_mark}"] if report.last_mark else []
    whole = f"{report.entries:,} entries of {report.chains:,} chains about {report.members:,} members are as they were written."
    return [f"{whole}{waiting}{how}", *kept]


def _stated(certificate: Certificate) -> list[str]:
    stated = certificate.stated
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in stated["verdicts"].items())
    letters = ", ".join(f"{count:,} {outcome}" for outcome, count in stated["letters"].items() if count)
    checkpoint = stated["audit"]["checkpoint"]
    return [
        f"Run {stated['run_id']} of organization {stated['organization_id']}, epoch {stated['epoch']}: {_verdict(stated)}",
        f"  ordered by       {stated['by'] or 'somebody who was erased'} at {moment(stated['requested_at'])}: {stated['reason'] or '-'}",
        f"  members          {stated['members']:,}: {verdicts}",
        f"  sessions ended   {stated['sessions_ended']:,}, the last at {moment(stated['last_session_ended_at'])}",
        f"  letters          {letters or 'none'}",
        f"  record           {stated['audit']['entries']:,} entries, head {stated['audit']['head']['digest'][:16]}…, "
        + (f"checkpoint {checkpoint['number']}" if checkpoint else "no checkpoint yet"),
        f"  proved           {moment(stated['proved_at'])}, signed with key {certificate.key_id}",
    ]


def _verdict(stated: dict[str, Any]) -> str:
    if stated["done"]:
        return "done. Nobody unprotected has a live session."
    if stated["state"] == "cancelled":
        return f"NOT done. It was cancelled at {moment(stated['finished_at'])}: {stated['stopped_because']}"
    return "was done; the requirement no longer stands."
