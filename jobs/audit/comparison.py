"""Hold the audit against what else the database knows: runs, batches' counters, and the ledger while it has its rows.

Whoever can write everything can make any of them agree, but not without a key: so an entry that was never written, and one that a hand
put in before it was sealed, show here.
"""

from collections.abc import Mapping

import asyncpg

from jobs.audit.findings import Finding, Found, Kind
from jobs.audit.tallies import Tally
from jobs.store import audit
from jobs.store.database import Connection


async def compare(db: Connection, run_id: int | None, tallies: Mapping[int, Tally]) -> None:
    """Compare one run or all; in the caller's snapshot.

    Raises:
        Found: The first thing that does not agree.
    """
    try:
        unlikes = await audit.compare(db, run_id)
    except asyncpg.DataError as error:
        words = f"an entry holds what none of ours does: {error}"
        raise Found(Finding(kind=Kind.INSERTED, words=words, run_id=run_id)) from error
    for unlike in unlikes:
        raise Found(Finding(kind=Kind(unlike.kind), words=unlike.words, run_id=unlike.run_id))
    for run, said in sorted(tallies.items()):
        known = await audit.tally_ledger(db, run)
        if known is not None and known != said:
            counts = f"{known.judged} members and {known.sessions_ended} sessions"
            words = f"its entries judge {said.judged} members and end {said.sessions_ended} sessions, the ledger has {counts}"
            raise Found(Finding(kind=Kind.DISAGREES, words=words, run_id=run))
