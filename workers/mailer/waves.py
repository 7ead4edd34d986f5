"""One call of `send`, as its letters see it: what waits, how many receipts are owed, and who is told.

Nothing here knows about connections. A wave counts its receipts, so that each letter gets exactly one, whatever happens around it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.ports import Envelope, Receipt, Recorder, Scope, SmtpStage
from workers.mailer import wire


@dataclass(slots=True, eq=False)
class Letter:
    """An envelope on its way. `losses`: how often a connection was lost under it before its content was written."""

    wave: "Wave"
    envelope: Envelope
    losses: int = 0


class Wave:
    """The letters of one `send`. The task that called it waits on `stirred`; connections take from `pending` and settle."""

    __slots__ = ("_recorder", "abandoned", "blocked", "deadline", "failure", "granted", "owed", "pending", "stirred")

    def __init__(self, envelopes: Iterable[Envelope], recorder: Recorder, *, deadline: float) -> None:
        self._recorder = recorder
        self.pending = deque(Letter(self, envelope) for envelope in envelopes)
        self.owed = len(self.pending)
        self.deadline = deadline
        self.blocked = False
        self.granted = False
        self.abandoned = False
        self.failure: Exception | None = None
        self.stirred = asyncio.Event()

    def settle_unfit(self) -> None:
        """Refuse what must not be written to any relay."""
        letters, self.pending = self.pending, deque()
        for letter in letters:
            receipt = wire.unfit(letter.envelope)
            if receipt is None:
                self.pending.append(letter)
            else:
                self.settle(letter, receipt)

    def has_room(self) -> bool:
        """Ask the recorder without waiting, by one step of its coroutine: a task a letter would cost more than the letter.

        Where one step is not enough, or raises, the wave's own task asks in earnest, and what it is granted is one letter's.
        """
        if self.granted:
            self.granted = False
            return True
        asking = self._recorder.room()
        try:
            asking.send(None)
        except StopIteration:
            return True
        except Exception:  # noqa: BLE001 -- see the docstring
            return False
        with contextlib.suppress(RuntimeError):  # it insisted on waiting while it was closed
            asking.close()
        return False

    async def room(self) -> None:
        """Wait for the recorder, at most until the deadline.

        Raises:
            TimeoutError: The deadline came first.
        """
        async with asyncio.timeout_at(self.deadline):
            await self._recorder.room()
        self.granted = True

    def block(self) -> None:
        """Have the wave's own task wait for room."""
        self.blocked = True
        self.stirred.set()

    def settle(self, letter: Letter, receipt: Receipt) -> None:
        """Hand over the one receipt of a letter. An error of the recorder ends the wave, not the connection."""
        self.owed -= 1
        try:
            self._recorder.record(letter.envelope, receipt)
        except Exception as error:  # noqa: BLE001 -- raised by the wave's own task
            self.failure = self.failure or error
            self.stirred.set()
        if self.owed == 0:
            self.stirred.set()

    def give_back(self, receipt: Receipt) -> None:
        """Settle every letter that has not begun with the same receipt."""
        while self.pending:
            self.settle(self.pending.popleft(), receipt)


def unsent(text: str) -> Receipt:
    """Return the receipt of a letter that never began."""
    return Receipt(scope=Scope.UNSENT, stage=SmtpStage.CONNECT, text=text)
