"""Send the letters that members are owed about their second factors. Runs beside the notify stage in every mailer process.

Repeat-safe: a letter is committed as `sending` under a lease and a token before its first byte leaves; a crash sends what was on its way
once more, with the same bytes. They are few, so there is no run, no batch and no hint: each process looks every second.

The limiter is not asked: what runs leave of the day's quota is kept for mail like this.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import structlog

from jobs.domain.letters import LetterKind, LetterState
from jobs.domain.outcomes import Outcome, Scope, settle
from jobs.letters import Addressee, Change, Occasion, Unaddressable
from jobs.ports import Envelope, Receipt
from jobs.resources import Mail, Resources
from jobs.store.database import WEATHER, Database, is_weather, log_failure
from jobs.store.statements import statement

CLAIM = statement("claim_factor_letters")
RECORD = statement("record_factor_letter")

WAVE = 20
"""Letters at a time; also how many may arrive twice after a crash."""

LEASE = timedelta(minutes=11)
"""Longer than a relay may take to answer the final dot (RFC 5321 4.5.3.2.6)."""

SLICE_SECONDS = 10.0
LOOK_SECONDS = 1.0
FAULT_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One letter that is `sending`, with what was frozen at its first claim."""

    letter_id: int
    token: int
    user_id: object
    letter: LetterKind
    happened_at: datetime
    facts: dict[str, Any]
    frozen: dict[str, Any]
    attempts: int
    doubts: int


@dataclass(slots=True)
class Outcomes:
    """Takes receipts; implements `jobs.ports.Recorder`. A wave is small, so there is always room."""

    taken: list[tuple[Owed, Outcome]] = field(default_factory=list)

    async def room(self) -> None:
        """Return at once."""

    def record(self, envelope: Envelope, receipt: Receipt) -> None:
        """Take one receipt from the mailer."""
        owed = cast("Owed", envelope.reference)
        words = None if receipt.scope is Scope.ACCEPTED else f"{receipt.stage} {receipt.code or ''} {receipt.text}"[:200]
        luck = random.random()  # noqa: S311 -- jitter, no secret
        self.taken.append(
            (owed, settle(receipt.scope, attempts=owed.attempts, doubts=owed.doubts, luck=luck, words=words, relay_id=receipt.relay_id))
        )


async def post_for_ever(resources: Resources) -> None:
    """Send what is owed, second after second, until the process is told to stop. The weather is waited out."""
    if resources.mail is None:
        raise LookupError("letters are sent by a process that has a mailer")
    while not resources.draining.is_set():
        sent = 0
        try:
            if not resources.mail.mailer.retry_in_seconds:
                sent = await post(resources.pool, resources.mail)
        except Exception as error:  # noqa: BLE001 -- all of it is written down
            log_failure(log, "letters_unposted", error)
            if not is_weather(error):
                await asyncio.sleep(FAULT_SECONDS)
        if sent < WAVE:
            await asyncio.sleep(LOOK_SECONDS)


async def post(db: Database, mail: Mail, *, limit: int = WAVE) -> int:
    """Send one wave of letters that are due; returns how many were taken up."""
    rows = await db.fetch(CLAIM, limit, LEASE)
    sending = [_owed(row) for row in rows if row["state"] == LetterState.SENDING]
    outcomes = Outcomes()
    envelopes = [envelope for owed in sending if (envelope := _compose(mail, owed, outcomes))]
    if envelopes:
        await mail.mailer.send(envelopes, outcomes, seconds=SLICE_SECONDS)
    await _record(db, outcomes.taken)
    return len(rows)


def _owed(row: Any) -> Owed:
    known = {name: row[name] for name in ("letter_id", "token", "user_id", "happened_at", "attempts", "doubts")}
    return Owed(**known, letter=LetterKind(row["letter"]), facts=json.loads(row["facts"]), frozen=json.loads(row["frozen"]))


def _compose(mail: Mail, owed: Owed, outcomes: Outcomes) -> Envelope | None:
    """Return the letter ready to leave; `None`: it can't be sent, which is noted with its reason."""
    try:
        composed = mail.composer.compose(
            owed.letter, _occasion(owed), _addressee(owed), slot=owed.letter, dated=owed.happened_at, change=_change(owed)
        )
    except Unaddressable as error:
        reason: str = error.reason
    except Exception:
        log.exception("letter_not_composed", letter=owed.letter_id)
        reason = "not_composed"
    else:
        return Envelope(reference=owed, sender=composed.sender, recipient=composed.recipient, content=composed.content)
    outcomes.taken.append((owed, Outcome(state=LetterState.SUPPRESSED, reason=reason)))
    return None


def _occasion(owed: Owed) -> Occasion:
    """Why it is written. The letter's own number stands where a run's would: with the slot it makes a Message-ID of its own."""
    names = ("organization_id", "organization_name", "organization_locale", "organization_time_zone", "support_url")
    frozen = {name: owed.frozen[name] for name in names}
    return Occasion(run_id=owed.letter_id, **frozen, decided_by=owed.frozen["done_by"], requested_at=owed.happened_at)


def _addressee(owed: Owed) -> Addressee:
    facts = {name: owed.frozen[name] for name in ("address", "display_name", "locale", "time_zone")}
    return Addressee(member_id=str(owed.user_id), **facts)


def _change(owed: Owed) -> Change:
    facts = owed.facts
    return Change(
        address=facts.get("address"),
        device=facts.get("device"),
        codes_left=facts.get("codes_left"),
        was_replaced=facts.get("replaced", False),
        was_disabled=facts.get("disabled", False),
    )


async def _record(db: Database, taken: Sequence[tuple[Owed, Outcome]]) -> None:
    for owed, outcome in taken:
        said = (outcome.state, outcome.reason, outcome.relay_id, outcome.seconds, outcome.attempts, outcome.doubts, outcome.suppresses)
        state = await _write_through(db, owed, said)
        log.info("factor_letter_settled", letter=owed.letter_id, kind=str(owed.letter), state=state)


async def _write_through(db: Database, owed: Owed, said: tuple[object, ...]) -> str | None:
    """Write, and go on trying while the database is away: an outcome that is forgotten is a letter that arrives twice."""
    while True:
        try:
            return cast("str | None", await db.fetchval(RECORD, owed.letter_id, owed.token, *said))
        except WEATHER as weather:
            if not is_weather(weather):
                raise
            log.warning("letter_unrecorded", letter=owed.letter_id, error=type(weather).__name__)
            await asyncio.sleep(LOOK_SECONDS)
