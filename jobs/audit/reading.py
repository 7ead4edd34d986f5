"""Read each new entry about an enforced batch once, also one that is committed after others with higher numbers.

An entry has its number before its transaction commits. So numbers below the highest one that was seen may still appear, until every
transaction of that time is over: `floor` rises no faster than that, and `ahead` remembers what was read above it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from jobs.audit.entries import Entry
from jobs.store import audit
from jobs.store.audit import Horizon
from jobs.store.database import Connection

ENTRIES = 500
"""Entries read at a time: some 10 MB at most."""


@dataclass(slots=True)
class Reading:
    """How far somebody has read. Up to `floor` there is nothing new any more; begins a day ago."""

    floor: int | None = field(default=None, init=False)
    ahead: set[int] = field(default_factory=set, init=False)
    last: Horizon | None = field(default=None, init=False)

    async def new_entries(self, db: Connection) -> AsyncIterator[Entry]:
        """Return what was committed since the last time, in the order of the numbers; read it to the end."""
        if self.floor is None:
            self.floor = await audit.entry_of_yesterday(db)
        now = await audit.horizon(db)
        place = self.floor
        while entries := await audit.list_enforced_since(db, place, but=sorted(self.ahead), limit=ENTRIES):
            for entry in entries:
                yield entry
            place = entries[-1].entry_id
            self.ahead.update(entry.entry_id for entry in entries)
        self._settle(now)

    def _settle(self, now: Horizon) -> None:
        """Raise the floor to where the last horizon stood, if every transaction of then is over."""
        if self.last is None:
            self.last = now
        elif now.oldest >= self.last.next:
            self.floor = max(self.floor or 0, self.last.entry_id)
            self.ahead = {entry_id for entry_id in self.ahead if entry_id > self.floor}
            self.last = now
