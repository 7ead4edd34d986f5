"""How many connections there are, and what becomes of letters when one is lost.

Connections fetch their letters themselves. How many there are follows what is waiting and what the relay likes (`concurrency`); how
fast they are opened follows the settings (`pace`); whether anything is tried at all, the breaker.

One kind of letter is tried again here: one that a connection at its end surely never took, because its content was not written.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jobs.ports import Receipt, Scope
from workers.mailer.breaker import BreakerState, RelayBreaker
from workers.mailer.concurrency import Concurrency
from workers.mailer.connection import NotConnectedError, Opened
from workers.mailer.pace import Pace
from workers.mailer.replies import SETTING_UP
from workers.mailer.terms import Terms
from workers.mailer.transaction import Transactions
from workers.mailer.turns import Turns
from workers.mailer.waves import Letter, Wave, unsent

LETTERS_WORTH_A_CONNECTION = 6
"""Opening a connection takes about six round trips, a pipelined letter one."""

LOSSES = 3
"""A letter may meet several connections that are at their end; one that ends connections itself must not meet them all."""

log = structlog.get_logger()


class Staff:
    """The connections to one relay; the `Exchange` that they work for."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Opened]],
        *,
        name: str,
        terms: Terms,
        breaker: RelayBreaker,
        concurrency: Concurrency,
        pace: Pace,
        has_stand_in: Callable[[], bool] = lambda: False,
    ) -> None:
        self.turns = Turns(self.call_soon)
        self.breaker = breaker
        self.concurrency = concurrency
        self.draining = False
        self._connect = connect
        self._name = name
        self._terms = terms
        self._pace = pace
        self._has_stand_in = has_stand_in
        self._connections: set[Transactions] = set()
        self._leaving: set[Transactions] = set()  # they were there when the breaker opened, and count no more
        self._hungry: set[Transactions] = set()
        self._openings: set[asyncio.Task[None]] = set()
        self._call: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._nobody = asyncio.Event()

    def __len__(self) -> int:
        return len(self._connections) + len(self._leaving)

    # What the mailer asks for.

    def call_soon(self) -> None:
        """See to it, in the loop's next turn, that what waits finds a connection. Many calls in one turn are one."""
        if self._call is None:
            self._call = asyncio.get_running_loop().call_soon(self._see_to_it)

    def abandon(self, wave: Wave) -> None:
        """Give up a wave's letters that are under way."""
        for each in self._everybody():
            each.abandon(wave)

    async def dismiss(self, seconds: float) -> None:
        """Open nothing more, let what is under way be answered for at most `seconds`, and close every connection."""
        self.draining = True
        self._forget_calls()
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        for each in self._everybody():
            each.retire()
        self._nobody.clear()
        if len(self):
            await _wait_at_most(self._nobody, seconds)
        for each in self._everybody():
            each.close("the mailer stopped before the final dot was answered")
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next turn

    # What the connections call: the Exchange.

    def next_letter(self) -> Letter | None:
        """Return the next letter to begin."""
        return self.turns.next_letter()

    def hungry(self, connection: Transactions) -> None:
        """Remember a connection that found no letter."""
        self._hungry.add(connection)

    def answered(self, letter: Letter, receipt: Receipt) -> None:
        """Hand a receipt to its wave. Any answer is good news about the relay, whatever it says about the letter."""
        letter.wave.settle(letter, receipt)
        if receipt.code is not None and self.breaker.reset():
            log.info("relay_breaker_closed", relay=self._name)
            self.call_soon()
        if receipt.scope is Scope.ACCEPTED and self.concurrency.succeeded():
            self.call_soon()

    def returned(self, letter: Letter, receipt: Receipt, *, again: bool) -> bool:
        """Put the letter back in front of its wave, a few times at most, or settle it."""
        if letter.wave.abandoned or self.draining:
            letter.wave.settle(letter, unsent("the call was cancelled, or the mailer is draining"))
            return False
        late = asyncio.get_running_loop().time() >= letter.wave.deadline
        if not again or late or letter.losses >= LOSSES or self.breaker.state is BreakerState.OPEN:
            letter.wave.settle(letter, receipt)
            return False
        letter.losses += 1
        self.turns.put_back(letter)
        return True

    def troubled(self, receipt: Receipt) -> None:
        """Count a failure; many in a row, or a failed probe, open the breaker."""
        probing = self.breaker.state is BreakerState.PROBING
        if self.concurrency.failed() or probing:
            self._trip(receipt)

    def lost(self, connection: Transactions, failure: Receipt | None) -> None:
        """Strike a connection off; the end of one that had worked is no sign that the relay is away."""
        for group in (self._connections, self._leaving, self._hungry):
            group.discard(connection)
        if failure is not None and connection.seasoned:
            self.concurrency.eased()
        elif failure is not None:
            self.troubled(failure)
        if not len(self):
            self._nobody.set()
        self.call_soon()

    # Staffing.

    def _see_to_it(self) -> None:
        self._call = None
        while self._hungry and self.turns:
            self._hungry.pop().kick()
        for _ in range(self._wanted()):
            if not self._open_one():
                break

    def _wanted(self) -> int:
        """Return how many connections to open now: what the letters waiting are worth, within what the relay likes."""
        if self.draining or self.breaker.state is BreakerState.OPEN:
            return 0
        window = 1 if self.breaker.state is BreakerState.PROBING else self.concurrency.window
        useful = -(-self.turns.waiting // LETTERS_WORTH_A_CONNECTION)
        return min(useful - len(self._openings), window - len(self._connections) - len(self._openings))

    def _open_one(self) -> bool:
        """Begin to open a connection; when the pace forbids it, come back when it will not."""
        loop = asyncio.get_running_loop()
        if wait := self._pace.wait(loop.time()):
            if self._later is None or self._later.when() <= loop.time():
                self._later = loop.call_later(wait, self.call_soon)
            return False
        self._pace.started(loop.time())
        opening = loop.create_task(self._open())
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return True

    async def _open(self) -> None:
        try:
            opened = await self._connect()
        except NotConnectedError as error:
            self._strike_off_opening()
            self._not_connected(error.receipt)
            return
        self._strike_off_opening()
        connection = Transactions(opened.transport, self, opened.able, self._terms)
        self._connections.add(connection)
        connection.start()

    def _strike_off_opening(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._openings.discard(task)

    def _not_connected(self, receipt: Receipt) -> None:
        """With no other connection up or coming up, the relay is away."""
        if not self._connections and not self._openings:
            self._trip(receipt)
        else:
            self.troubled(receipt)
        self.call_soon()

    def _trip(self, receipt: Receipt) -> None:
        receipt = _impersonal(receipt)
        if not self.breaker.trip(receipt):
            return
        log.warning(
            "relay_breaker_opened",
            relay=self._name,
            stage=receipt.stage,
            code=receipt.code,
            enhanced=receipt.enhanced,
            seconds=self.breaker.retry_in_seconds,
        )
        self.turns.give_all_back(unsent(f"{self._name} is away, another relay takes over") if self._has_stand_in() else receipt)
        self._leaving |= self._connections
        self._connections.clear()
        self._hungry.clear()
        for each in tuple(self._leaving):
            each.retire()

    def _everybody(self) -> tuple[Transactions, ...]:
        return (*self._connections, *self._leaving)

    def _forget_calls(self) -> None:
        for handle in (self._call, self._later):
            if handle is not None:
                handle.cancel()
        self._call = self._later = None


def _impersonal(receipt: Receipt) -> Receipt:
    """Leave out words that may name one letter's recipient: this becomes every waiting letter's reason, and a line on a status page."""
    personal = receipt.code is not None and receipt.stage not in SETTING_UP
    return receipt._replace(text="") if personal else receipt


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
