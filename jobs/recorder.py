"""Writes down what became of letters, many in one statement, and bounds how many are not written down yet.

What a relay has accepted and PostgreSQL does not know is what a crash would send twice. So receipts are committed when there is half
of `CAPACITY`, when a wave has all of its own, or when `SECONDS` have passed; and no new letter begins while `CAPACITY` are waiting.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import structlog

from jobs import instruments
from jobs.breakers import Breakers, domain_of
from jobs.domain.backoff import full_jitter
from jobs.domain.letters import LetterKind, LetterState
from jobs.domain.outcomes import Outcome, Scope, settle
from jobs.failpoints import reach
from jobs.ports import Envelope, Receipt
from jobs.store.batches import Claim
from jobs.store.database import is_weather
from jobs.store.deliveries import Letter, Settled

log = structlog.get_logger(__name__)

CAPACITY = 250
"""Receipts, at most, that are taken and not committed, in one process."""

SECONDS = 0.25
"""How long a receipt waits, at most, for others to be committed with."""

UNTRIED = frozenset({Scope.ACCEPTED, Scope.UNSENT})
"""Of these an attempt leaves no row of its own: the ledger has the letter, or it never began."""

Write = Callable[[Sequence[Settled]], Awaitable[object]]


@dataclass(slots=True, kw_only=True)
class Wave:
    """Letters of one claim that were marked `sending` together; complete when each one's outcome is committed.

    `relay` is where they went, '' if nobody knows. `faults` is what the relay said against the letter itself, rather than against a
    recipient, `faulty` the kinds and domains that it was said to; `held_back` are kinds of letters that are due and may not begin;
    `unsent` counts letters that came back because the relay is away or time was up, `deferred` those that no longer hold the run,
    `unwritten` those whose outcome the ledger will not have.
    """

    claim: Claim
    letters: int
    relay: str = ""
    receipts: int = 0
    faults: list[str] = field(default_factory=list)
    faulty: set[tuple[LetterKind, str]] = field(default_factory=set)
    held_back: frozenset[LetterKind] = frozenset()
    unsent: int = 0
    deferred: int = 0
    unwritten: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    committed: int = 0


class Reference(NamedTuple):
    """What an envelope carries along, to find its way back into the ledger."""

    wave: Wave
    letter: Letter


class LedgerRecorder:
    """Implements `jobs.ports.Recorder` over the ledger. One a process; `run` must be running while letters are sent."""

    def __init__(self, write: Write, *, capacity: int = CAPACITY, seconds: float = SECONDS, breakers: Breakers | None = None) -> None:
        self._write = write
        self._breakers = breakers
        self._capacity = capacity
        self._seconds = seconds
        self._waiting: list[tuple[Wave, Settled]] = []
        self._replies: dict[tuple[Scope, str, int | None], int] = {}
        self._in_writing = 0
        self._begun = asyncio.Event()
        self._enough = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def uncommitted(self) -> int:
        """Receipts taken and not committed."""
        return len(self._waiting) + self._in_writing

    async def room(self) -> None:
        """Return when one more letter may begin."""
        if not self._has_room.is_set():
            await self._has_room.wait()

    def record(self, envelope: Envelope, receipt: Receipt) -> None:
        """Take one receipt from the mailer."""
        reference = cast("Reference", envelope.reference)
        reply = (receipt.scope, receipt.stage, receipt.code)
        self._replies[reply] = self._replies.get(reply, 0) + 1
        wave, letter = reference.wave, reference.letter
        words = None if receipt.scope is Scope.ACCEPTED else _words(envelope, receipt)
        if receipt.scope is Scope.MESSAGE and words:
            wave.faults.append(words)
            wave.faulty.add((letter.letter, domain_of(envelope.recipient)))
        elif receipt.scope is Scope.RELAY or receipt.scope is Scope.UNSENT:
            wave.unsent += 1
        outcome = settle(
            receipt.scope,
            attempts=letter.attempts,
            doubts=letter.doubts,
            luck=random.random(),  # noqa: S311 -- jitter, no secret
            words=words,
            relay_id=receipt.relay_id,
        )
        if self._breakers is not None:
            self._breakers.count(wave.claim.run_id, letter.letter, envelope.recipient, receipt, was_refused=letter.was_refused)
        self._take(wave, letter, outcome, tried=None if receipt.scope in UNTRIED else wave.relay)

    def suppress(self, wave: Wave, letter: Letter, reason: str) -> None:
        """Take a letter that can't be sent at all, with the reason."""
        if self._breakers is not None:
            self._breakers.returned(wave.claim.run_id, letter.letter)
        self._take(wave, letter, Outcome(state=LetterState.SUPPRESSED, reason=reason))

    async def run(self) -> None:
        """Commit receipts until cancelled. What is not committed then is owed again when its lease runs out: `drain` first."""
        while True:
            await self._begun.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), self._seconds)
            await self._flush()

    async def drain(self) -> None:
        """Return when every receipt taken so far is committed."""
        while self.uncommitted:
            self._enough.set()
            await asyncio.sleep(0.01)

    def _take(self, wave: Wave, letter: Letter, outcome: Outcome, *, tried: str | None = None) -> None:
        self._waiting.append((wave, Settled(claim=wave.claim, member_id=letter.member_id, outcome=outcome, tried=tried)))
        wave.receipts += 1
        wave.deferred += outcome.state is LetterState.DEFERRED
        self._begun.set()
        if len(self._waiting) * 2 >= self._capacity or wave.receipts == wave.letters:
            self._enough.set()
        if self.uncommitted >= self._capacity:
            self._has_room.clear()

    async def _flush(self) -> None:
        taken, self._waiting = self._waiting, []
        replies, self._replies = self._replies, {}
        self._in_writing = len(taken)
        self._begun.clear()
        self._enough.clear()
        reach("before_flush")
        await self._write_through(taken)
        reach("after_flush")
        _count(taken, replies)
        self._in_writing = 0
        if self.uncommitted < self._capacity:  # what nobody may send is taken without asking for room
            self._has_room.set()
        for wave, _ in taken:
            wave.committed += 1
            if wave.committed == wave.letters:
                wave.complete.set()

    async def _write_through(self, taken: Sequence[tuple[Wave, Settled]]) -> None:
        """Write, and go on trying while the database is away: a receipt that was taken must not be forgotten."""
        attempt = 0
        while True:
            try:
                await self._write([settled for _, settled in taken])
            except Exception as error:
                if not is_weather(error):
                    # One that can't be written must not take the others, or this task, along; its batch fails, and is put aside some time.
                    log.exception("letters_unrecordable", letters=len(taken))
                    await self._write_apart(taken)
                    return
                attempt += 1
                instruments.UNRECORDED_FLUSHES.inc()
                log.warning("letters_unrecorded", letters=len(taken), attempt=attempt, error=type(error).__name__)
                await asyncio.sleep(full_jitter(attempt, random.random(), first_seconds=0.2, most_seconds=5))  # noqa: S311 -- jitter
            else:
                return

    async def _write_apart(self, taken: Sequence[tuple[Wave, Settled]]) -> None:
        if len(taken) == 1:
            taken[0][0].unwritten += 1
            return
        for one in taken:
            await self._write_through([one])


def _count(taken: Sequence[tuple[Wave, Settled]], replies: dict[tuple[Scope, str, int | None], int]) -> None:
    """Count what was written. A letter that had no reply, because it could not be sent, has an outcome all the same."""
    instruments.count_replies(replies)
    for state, letters in Counter(settled.outcome.state for _, settled in taken).items():
        instruments.LETTERS.labels(state).inc(letters)


def _words(envelope: Envelope, receipt: Receipt) -> str:
    """Return the relay's answer in one line, as people will read it: where, code, text; without the address, which stands elsewhere."""
    text = receipt.text.replace(f"<{envelope.recipient}>", "").replace(envelope.recipient, "").strip(" :")
    parts = (str(receipt.stage), str(receipt.code or ""), receipt.enhanced or "", text)
    return " ".join(part for part in parts if part).replace("\0", " ")[:200]
