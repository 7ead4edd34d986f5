"""How late this process's event loop is: a timer that says by how much it was missed."""

import asyncio
from time import monotonic

from jobs import instruments

SECONDS = 0.5


class LoopLag:
    """Looks twice a second; remembers the worst since it was last asked."""

    def __init__(self, process: str) -> None:
        self._observe = instruments.LOOP_LAG.labels(process).observe
        self._worst = 0.0

    async def watch(self) -> None:
        """Watch the running loop, until cancelled."""
        while True:
            due = monotonic() + SECONDS
            await asyncio.sleep(SECONDS)
            lag = max(0.0, monotonic() - due)
            self._observe(lag)
            self._worst = max(self._worst, lag)

    def take(self) -> float:
        """Return the worst lag since the last call, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst
