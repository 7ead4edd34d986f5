"""Receipts on their way into the ledger: bounded, in sets, and none forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest

from jobs.domain.letters import LetterKind, LetterState
from jobs.ports import Envelope, Receipt, Scope, SmtpStage
from jobs.recorder import LedgerRecorder, Reference, Wave
from jobs.store.deliveries import Letter, Settled

if TYPE_CHECKING:
    from jobs.store.batches import Claim
    from jobs.store.ids import MemberId


def a_letter(number: int = 1, *, attempts: int = 0, doubts: int = 0) -> Letter:
    return Letter(
        member_id=cast("MemberId", number),
        letter=LetterKind.SIGNED_OUT,
        recipient=f"m{number}@example.com",
        display_name=None,
        locale=None,
        time_zone=None,
        kind=None,
        first_tried_at=datetime.now(UTC),
        attempts=attempts,
        doubts=doubts,
    )


def a_wave(letters: int) -> Wave:
    return Wave(claim=cast("Claim", object()), letters=letters)


def an_envelope(wave: Wave, letter: Letter) -> Envelope:
    return Envelope(reference=Reference(wave, letter), sender="a@example.com", recipient="b@example.com", content=b"")


def a_receipt(scope: Scope = Scope.ACCEPTED, **given: Any) -> Receipt:
    return Receipt(scope=scope, stage=SmtpStage.DOT, **given)


class Ledger:
    """Where a recorder writes to: keeps what it got, and fails or waits if told to."""

    def __init__(self) -> None:
        self.writes: list[list[Settled]] = []
        self.failures: list[Exception] = []
        self.unwritable: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.wrote = asyncio.Event()

    async def write(self, settled: Sequence[Settled]) -> None:
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.unwritable & {cast("int", one.member_id) for one in settled}:
            raise ValueError("a row that the table refuses")
        self.writes.append(list(settled))
        self.wrote.set()

    @property
    def written(self) -> list[int]:
        return sorted(cast("int", one.member_id) for write in self.writes for one in write)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@asynccontextmanager
async def recording(ledger: Ledger, *, capacity: int = 10, seconds: float = 30) -> AsyncIterator[LedgerRecorder]:
    """A recorder at work. It waits for half a minute, so that what is written sooner was written for another reason."""
    recorder = LedgerRecorder(ledger.write, capacity=capacity, seconds=seconds)
    task = asyncio.create_task(recorder.run())
    try:
        async with asyncio.timeout(20):
            yield recorder
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_wave_is_complete_when_all_its_outcomes_are_written_and_not_before(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        wave = a_wave(3)
        ledger.open.clear()
        for number in range(3):
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt())
        await asyncio.sleep(0.01)
        assert (wave.complete.is_set(), recorder.uncommitted) == (False, 3)
        ledger.open.set()
        await wave.complete.wait()
        assert (ledger.written, recorder.uncommitted) == ([0, 1, 2], 0)


async def test_half_of_the_capacity_is_written_in_one_set(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        wave = a_wave(100)
        for number in range(5):
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt())
        await ledger.wrote.wait()
        assert [len(write) for write in ledger.writes] == [5]


async def test_one_receipt_alone_is_written_when_its_time_is_over(ledger: Ledger) -> None:
    async with recording(ledger, seconds=0.01) as recorder:
        recorder.record(an_envelope(a_wave(100), a_letter(7)), a_receipt())
        await ledger.wrote.wait()
        assert ledger.written == [7]


async def test_no_letter_begins_while_as_many_as_may_be_are_not_written(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        wave = a_wave(10)
        ledger.open.clear()
        for number in range(10):
            await recorder.room()
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt())
        waiting = asyncio.create_task(recorder.room())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        ledger.open.set()
        await waiting
        assert recorder.uncommitted == 0


async def test_room_is_not_given_back_while_others_fill_it(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        ledger.open.clear()
        first, second = a_wave(10), a_wave(30)
        for number in range(10):
            recorder.suppress(first, a_letter(number), "no_address")
        await asyncio.sleep(0.02)
        for number in range(10, 30):
            recorder.suppress(second, a_letter(number), "no_address")
        assert recorder.uncommitted == 30

        async def never(settled: Sequence[Settled]) -> None:
            await asyncio.Event().wait()

        recorder._write = never  # the first write is under way already
        ledger.open.set()
        await first.complete.wait()
        waiting = asyncio.create_task(recorder.room())
        await asyncio.sleep(0.02)
        assert not waiting.done(), f"{recorder.uncommitted} are not written"
        waiting.cancel()


@pytest.mark.parametrize("weather", [OSError("gone"), TimeoutError(), ConnectionResetError()])
async def test_the_weather_is_waited_out_and_nothing_is_forgotten(ledger: Ledger, weather: Exception) -> None:
    ledger.failures = [weather]
    async with recording(ledger) as recorder:
        wave = a_wave(2)
        for number in range(2):
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt())
        await wave.complete.wait()
        assert ledger.written == [0, 1]


async def test_one_that_can_not_be_written_takes_no_other_along(ledger: Ledger) -> None:
    ledger.unwritable = {1}
    async with recording(ledger) as recorder:
        wave = a_wave(3)
        for number in range(3):
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt())
        await wave.complete.wait()
        assert (ledger.written, wave.unwritten) == ([0, 2], 1)
        another = a_wave(1)
        recorder.record(an_envelope(another, a_letter(9)), a_receipt())
        await another.complete.wait()
        assert ledger.written == [0, 2, 9]


async def test_a_statement_that_is_called_wrongly_is_not_tried_for_ever(ledger: Ledger) -> None:
    called_wrongly = asyncpg.InterfaceError("the server expects 1 argument, 2 were passed", hint="Check the query.")
    ledger.failures = [called_wrongly]
    async with recording(ledger) as recorder:
        wave = a_wave(1)
        recorder.record(an_envelope(wave, a_letter()), a_receipt())
        async with asyncio.timeout(5):
            await wave.complete.wait()
        assert (ledger.written, wave.unwritten) == ([], 1)


async def test_drained_everything_is_written(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        for number in range(3):
            recorder.record(an_envelope(a_wave(100), a_letter(number)), a_receipt())
        await recorder.drain()
        assert ledger.written == [0, 1, 2]


async def test_several_waves_share_a_write_and_each_is_complete_by_itself(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        small, large = a_wave(1), a_wave(100)
        recorder.record(an_envelope(large, a_letter(1)), a_receipt())
        recorder.record(an_envelope(small, a_letter(2)), a_receipt())
        await small.complete.wait()
        assert [len(write) for write in ledger.writes] == [2]
        assert not large.complete.is_set()


async def test_what_the_relay_said_is_kept_in_one_line(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        wave = a_wave(2)
        recorder.record(an_envelope(wave, a_letter(1)), a_receipt(Scope.RECIPIENT, code=550, enhanced="5.1.1", text="no \0 such user"))
        recorder.record(an_envelope(wave, a_letter(2)), a_receipt(relay_id="4X"))
        await wave.complete.wait()
        outcomes = [settled.outcome for settled in ledger.writes[0]]
        assert [(outcome.state, outcome.reason, outcome.relay_id) for outcome in outcomes] == [
            (LetterState.REFUSED, "dot 550 5.1.1 no   such user", None),
            (LetterState.ACCEPTED, None, "4X"),
        ]


async def test_a_wave_knows_of_faults_of_the_letter_and_of_letters_that_came_back(ledger: Ledger) -> None:
    async with recording(ledger) as recorder:
        wave = a_wave(4)
        for number, scope in enumerate([Scope.MESSAGE, Scope.RELAY, Scope.UNSENT, Scope.ACCEPTED]):
            recorder.record(an_envelope(wave, a_letter(number)), a_receipt(scope, text="so it is"))
        await wave.complete.wait()
        assert (wave.faults, wave.unsent) == (["dot so it is"], 2)
