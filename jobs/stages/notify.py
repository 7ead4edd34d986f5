"""Send the letters of one batch. Stage four of five.

    trigger -> plan -> enforce -> notify -> finish

Repeat-safe: a letter is committed as `sending` before its first byte leaves and in exactly one state at any time, written only under
the claim's token; a crash owes again what was on its way and not recorded, with the same bytes, and nothing else.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from jobs import tracing
from jobs.domain.letters import LetterKind
from jobs.domain.outcomes import FAULT_SECONDS
from jobs.errors import Deferred
from jobs.failpoints import reach
from jobs.leave import PEEK, Leave, ask_leave
from jobs.letters import Addressee, Occasion, Totals, Unaddressable, Unreachable
from jobs.ports import Envelope
from jobs.recorder import Reference, Wave
from jobs.resources import Mail, Resources
from jobs.store import batches, deliveries
from jobs.store.batches import Claim, Stage
from jobs.store.database import weather_ignored
from jobs.store.deliveries import Letter, slot_of

log = structlog.get_logger(__name__)

WAVE = 250
"""Letters marked `sending` at a time while no limit is on."""

SLICE_SECONDS = 10.0
"""How long one claim goes on sending before it gives the batch back, so that a slow relay is shared between organizations."""

WORTH_STAYING = 50
"""Letters a limit let through at once, from which on it is worth waiting for more instead of giving the batch back."""

STAY_SECONDS = 0.05

TURN_SECONDS = 0.5
"""How long a batch that a limit holds back is away: less than a limiter's burst, or part of the rate would be lost."""

ASIDE_SECONDS = ((10, 0.5), (1, 2.0), (0, 10.0))
"""How long a batch makes room for others whose letters wait for their recipient domains alone, by the letters that left this time: a few
batches come often and use up what a domain takes, the rest look in now and then."""

LONG_SECONDS = 60.0
"""A wait that people are told of: no rate takes this long, only a quota."""

HELD_SECONDS = (2.0, 60.0)
"""How long a batch is away, at least and at most, whose letters an open breaker holds back; it is called when the breaker closes."""

FIRST_SECONDS = 2.0
"""How long a batch waits for the answers to the first letters of a kind, until it is given back."""

AWAY_SECONDS = 5.0
"""How long a batch is away, at most, while the relay is: it keeps its place in the window, so that not every batch comes to ask."""


class UnwrittenError(Exception):
    """Letters left, and the ledger takes no word of it: a fault of ours, which must not become letters without end."""

    def __init__(self, letters: int) -> None:
        super().__init__(f"what became of {letters} letters could not be written down; the log says why (letters_unrecordable)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a claim ended: letters that went out or were settled, and why and how long the rest must wait."""

    letters: int = 0
    deferred: int = 0
    wait_seconds: float = 0.0
    holds_place: bool = True
    reason: str | None = None
    fault: str | None = None
    faulty: frozenset[tuple[LetterKind, str]] = frozenset()


async def notify(resources: Resources, claim: Claim) -> None:
    """Send what is due of the claimed batch, inside the limits; then close it, or give it back until the next letter is due.

    Raises:
        Obsolete: The letters are not wanted any more, or the claim is stale.
        Deferred: The mailer is draining.
    """
    mail = _mail(resources)
    if claim.stage is Stage.LIFTED:
        await deliveries.owe_lifted(resources.pool, claim)
        reach("after_owe_lifted")
    if claim.sending:
        await deliveries.reclaim(resources.pool, claim)
        reach("after_reclaim")
    async with _kept_alive(resources, claim):
        turn = await _send_due(resources, mail, claim)
    if turn.fault:
        await _hold_back(resources, mail, claim, turn)
        return
    if claim.stage is Stage.NOTICE and (turn.deferred or claim.deferred):
        await deliveries.part_deferred(resources.pool, claim)
    reach("before_close_letters")
    closed = await deliveries.close(resources.pool, claim, seconds=turn.wait_seconds, holds_place=turn.holds_place, error=turn.reason)
    log.info("batch_notified", letters=turn.letters, is_done=closed.is_done, owed=closed.owed, deferred=closed.deferred)


def _mail(resources: Resources) -> Mail:
    if resources.mail is None:
        raise LookupError("this process has no mailer; letters are sent by `dramatiq workers.main:broker --queues notify`")
    return resources.mail


async def _send_due(resources: Resources, mail: Mail, claim: Claim) -> Turn:
    """Send wave after wave until nothing is due, somebody says wait, the slice is over, or somebody else should have a turn."""
    clock = asyncio.get_running_loop().time
    end, patient_until = clock() + SLICE_SECONDS, clock() + FIRST_SECONDS
    letters = deferred = 0
    while True:
        if resources.draining.is_set():
            raise Deferred(claim.batch_id, 0)
        if pause := mail.mailer.retry_in_seconds:
            return Turn(letters=letters, deferred=deferred, wait_seconds=min(pause, AWAY_SECONDS), reason=_away_reason(mail))
        leave = await ask_leave(resources.pool, mail, claim)
        wave = await _send_next(resources, mail, claim, leave)
        letters += wave.letters - wave.unsent
        deferred += wave.deferred
        if wave.faults:
            return Turn(letters=letters, fault=wave.faults[0], faulty=frozenset(wave.faulty))
        if leave.wait_seconds and wave.letters < WORTH_STAYING:
            return replace(_away(leave, letters), deferred=deferred)
        held = _held(mail, claim, leave, wave)
        if held and not wave.letters and (held.reason or clock() > patient_until or await mail.others_wait()):
            return replace(held, letters=letters, deferred=deferred)
        was_last = wave.letters < WAVE if leave.members is None else not wave.letters
        if (was_last and not held) or clock() > end or await mail.others_wait():
            return Turn(letters=letters, deferred=deferred)
        if leave.wait_seconds or (held and not wave.letters):
            await asyncio.sleep(STAY_SECONDS)


def _away_reason(mail: Mail) -> str:
    """Say which relays are away, as far as this process shows them by now."""
    away = [relay.subject for relay in mail.breakers.relays if relay.state != "closed"] if mail.breakers else []
    return f"the relay is away: {', '.join(away)}" if away else "the relay is away"


def _held(mail: Mail, claim: Claim, leave: Leave, wave: Wave) -> Turn | None:
    """Return for how long a batch of which a breaker holds letters back is away; without a reason: for the answers to the first ones."""
    hold = leave.hold
    if mail.breakers and wave.held_back:
        hold = mail.breakers.hold_of_kinds(claim.run_id, wave.held_back) or hold
    if hold is None:
        return Turn(wait_seconds=TURN_SECONDS, holds_place=False) if wave.held_back else None
    least, most = HELD_SECONDS
    jitter = 0.75 + 0.5 * random.random()  # noqa: S311 -- no secret
    return Turn(wait_seconds=min(most, max(least, hold.seconds)) * jitter, holds_place=False, reason=hold.reason)


def _away(leave: Leave, letters: int) -> Turn:
    """Return for how long a batch that a limit holds back gives up its turn."""
    if not leave.domains_only:
        reason = "a sending limit, such as the day's quota, is used up" if leave.wait_seconds >= LONG_SECONDS else None
        return Turn(letters=letters, wait_seconds=max(leave.wait_seconds, TURN_SECONDS), reason=reason)
    aside = next(seconds for least, seconds in ASIDE_SECONDS if letters >= least)
    jitter = 0.75 + 0.5 * random.random()  # noqa: S311 -- no secret
    return Turn(letters=letters, wait_seconds=aside * jitter, holds_place=False)


async def _send_next(resources: Resources, mail: Mail, claim: Claim, leave: Leave) -> Wave:
    """Mark and send the letters that may leave now; an empty wave: none may, or none is due."""
    if leave.members == []:
        return Wave(claim=claim, letters=0)
    breakers = mail.breakers
    canaries = breakers is not None and await breakers.mind_canaries(claim.run_id, claim.stage)
    # Letters of a kind that is held back must not hide those of others.
    limit = len(leave.members) if leave.members is not None else PEEK if breakers and breakers.holds_kinds else WAVE
    marked = await deliveries.mark(resources.pool, claim, limit=limit, members=leave.members, lease=resources.lease, canaries=canaries)
    reach("after_mark")
    seconds = min(SLICE_SECONDS, 0.8 * resources.lease.total_seconds())
    wave = await _send_wave(mail, claim, marked, seconds, leave.relay) if marked else Wave(claim=claim, letters=0)
    wave.held_back = marked.held_back
    return wave


async def _send_wave(mail: Mail, claim: Claim, marked: Sequence[Letter], seconds: float, relay: str | None) -> Wave:
    """Send letters that are `sending`; none begins after `seconds`, which is well within the lease, so that a zombie begins none."""
    relay = relay or next(iter(mail.mailer.turn()), "")
    wave = Wave(claim=claim, letters=len(marked), relay=relay)
    occasion, totals = _occasion(claim), _totals(claim)
    composed = (_compose(mail, wave, letter, occasion, totals) for letter in marked)
    envelopes = [envelope for envelope in composed if envelope is not None]
    try:
        with tracing.step("wave", letters=len(envelopes)):
            await mail.mailer.send(envelopes, mail.recorder, seconds=seconds, relay=relay)
    except asyncio.CancelledError:
        await wave.complete.wait()  # given back before its outcomes are written, the batch would be sent again
        raise
    await wave.complete.wait()
    if wave.unwritten:
        raise UnwrittenError(wave.unwritten)
    return wave


def _compose(mail: Mail, wave: Wave, letter: Letter, occasion: Occasion, totals: Totals | None) -> Envelope | None:
    """Return the letter ready to leave; `None`: it can't be sent, which is recorded with its reason."""
    try:
        composed = mail.composer.compose(
            letter.letter,
            occasion,
            Addressee(
                member_id=str(letter.member_id),
                address=letter.recipient,
                display_name=letter.display_name,
                locale=letter.locale,
                time_zone=letter.time_zone,
                kind=letter.kind,
            ),
            slot=slot_of(wave.claim.stage),
            dated=letter.first_tried_at,
            totals=totals if letter.letter is LetterKind.REPORT else None,
        )
    except Unaddressable as error:
        mail.recorder.suppress(wave, letter, error.reason)
    except Exception:
        log.exception("letter_not_composed", member=str(letter.member_id))
        mail.recorder.suppress(wave, letter, "not_composed")
    else:
        return Envelope(reference=Reference(wave, letter), sender=composed.sender, recipient=composed.recipient, content=composed.content)
    return None


def _occasion(claim: Claim) -> Occasion:
    return Occasion(
        run_id=claim.run_id,
        organization_id=str(claim.organization_id),
        organization_name=claim.organization_name,
        organization_locale=claim.organization_locale,
        organization_time_zone=claim.organization_time_zone,
        support_url=claim.support_url,
        decided_by=claim.decided_by,
        requested_at=claim.requested_at,
    )


def _totals(claim: Claim) -> Totals | None:
    """Return what the report states, as it was frozen when the run was closed."""
    if claim.totals is None:
        return None
    ended_at = claim.totals["last_session_ended_at"]
    return Totals(
        members=claim.totals["members"],
        verdicts=claim.totals["verdicts"],
        sessions_ended=claim.totals["sessions_ended"],
        letters=claim.totals["letters"],
        unreachable=tuple(
            Unreachable(who=member["address"] or str(member["member_id"]), reason=member["reason"] or member["state"])
            for member in claim.totals["unreachable"]
        ),
        unreachable_more=claim.totals["unreachable_more"],
        last_session_ended_at=datetime.fromisoformat(ended_at) if ended_at else None,
    )


async def _hold_back(resources: Resources, mail: Mail, claim: Claim, turn: Turn) -> None:
    """Stop sending this batch: the relay refuses the letter itself, and more of them would only hurt the sender's name.

    No attempt of the batch where a breaker sees to it: that one tries again for as long as it takes.
    """
    log.error("letter_rejected", reason=turn.fault)
    is_attempt = True
    if mail.breakers:
        await mail.breakers.tell()
        is_attempt = not mail.breakers.covers(claim.run_id, {kind for kind, _ in turn.faulty}, {domain for _, domain in turn.faulty})
    error = f"the relay refuses the letter: {turn.fault}"
    await batches.release(resources.pool, claim, seconds=FAULT_SECONDS, is_attempt=is_attempt, error=error)
    await deliveries.tally(resources.pool, claim.batch_id, claim.token)


@asynccontextmanager
async def _kept_alive(resources: Resources, claim: Claim) -> AsyncIterator[None]:
    """Renew the lease while letters are on their way: a relay may take minutes to answer the final dot."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(resources.lease.total_seconds() / 3)
            with weather_ignored():
                await batches.renew(resources.pool, claim, resources.lease)

    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
