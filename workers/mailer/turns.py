"""Whose letter is next: waves take turns, letter by letter, so that a wave of 20 is not behind one of 500.

A wave is left out while its recorder has no room, and gives everything back when its deadline has come.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from jobs.ports import Receipt
from workers.mailer.waves import Letter, Wave, unsent


class Turns:
    """The waves of one mailer. `wake` is called whenever there is something new to begin."""

    __slots__ = ("_queue", "_wake", "_waves")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._waves: set[Wave] = set()
        self._queue: deque[Wave] = deque()  # waves that have a letter to begin and room for its receipt, as far as is known
        self._wake = wake

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def waiting(self) -> int:
        """The number of letters that could begin."""
        return sum(len(wave.pending) for wave in self._queue)

    def enter(self, wave: Wave) -> None:
        """Let a wave take part."""
        self._waves.add(wave)
        self._line_up(wave)

    def leave(self, wave: Wave) -> None:
        """Forget a wave."""
        self._step_back(wave)
        self._waves.discard(wave)

    def next_letter(self) -> Letter | None:
        """Return the next letter to begin, `None` when there is none now."""
        queue = self._queue
        while queue:
            wave = queue[0]
            if wave.has_room():
                letter = wave.pending.popleft()
                if not wave.pending:
                    queue.popleft()
                elif len(queue) > 1:
                    queue.rotate(-1)
                return letter
            queue.popleft()
            wave.block()
        return None

    def put_back(self, letter: Letter) -> None:
        """Let a letter be the next of its wave again."""
        letter.wave.pending.appendleft(letter)
        self._line_up(letter.wave)

    def give_back(self, wave: Wave, receipt: Receipt) -> None:
        """Settle all letters of the wave that have not begun."""
        self._step_back(wave)
        wave.give_back(receipt)

    def give_all_back(self, receipt: Receipt) -> None:
        """Settle all letters of all waves that have not begun."""
        for wave in tuple(self._waves):
            self.give_back(wave, receipt)

    def expire(self, wave: Wave) -> None:
        """Give the wave's letters back: its deadline has come."""
        self.give_back(wave, unsent("the deadline came first"))

    async def attend(self, wave: Wave) -> None:
        """Wait until the wave owes no receipt; meanwhile wait for its recorder's room, and keep its deadline."""
        alarm = asyncio.get_running_loop().call_at(wave.deadline, self.expire, wave)
        try:
            while wave.owed and not wave.failure:
                await wave.stirred.wait()
                wave.stirred.clear()
                if wave.blocked:
                    await self._find_room(wave)
        finally:
            alarm.cancel()

    async def _find_room(self, wave: Wave) -> None:
        try:
            await wave.room()
        except TimeoutError:
            self.expire(wave)
        wave.blocked = False
        self._line_up(wave)

    def _line_up(self, wave: Wave) -> None:
        if wave.pending and not wave.blocked and wave not in self._queue:
            self._queue.append(wave)
            self._wake()

    def _step_back(self, wave: Wave) -> None:
        if wave in self._queue:
            self._queue.remove(wave)
