"""The invariants as queries, asked again and again by a process that changes nothing but its own result.

Each look is bounded: counters rather than members, what is new since the last look, or a sample. What no query can see (I7, I11, I12,
I13, I16) is left to the tests. A question that fails is a finding too: an auditor that can't look must not look content.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import structlog

from jobs.audit.entries import records_of
from jobs.audit.reading import Reading
from jobs.second_factor.rules import MOST_FAILURES
from jobs.store import audit
from jobs.store.audit import Checkpoint
from jobs.store.database import WEATHER, Connection, Pool, is_weather

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
QUERIES = ("I2", "I3", "I4", "I5", "I6", "I8", "I9", "I10", "I14", "I15", "I17", "I18", "I19")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found about one invariant: how many violations, and the first one in words."""

    invariant: str
    found: int
    words: str | None
    seconds: float


@dataclass(slots=True)
class Auditor:
    """Asks every question once a look.

    `reading`: which entries records were read of; begins a day ago. `witness`: the last checkpoint that was seen: whoever takes the
    database back to an earlier state, however whole, has one who remembers.
    """

    pool: Pool
    reading: Reading = field(default_factory=Reading, init=False)
    witness: Checkpoint | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look every minute, until cancelled; the weather of the database is waited out."""
        while True:
            try:
                await self.look()
            except WEATHER as weather:
                if not is_weather(weather):
                    raise
                log.warning("audit_look_failed", error=type(weather).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> list[Result]:
        """Ask everything once, write down what was found, and return it."""
        results = []
        async with self.pool.acquire() as connection:
            for invariant in ("I1", *QUERIES):
                result = await self._ask(connection, invariant)
                await self._show(connection, result)
                results.append(result)
        return results

    async def _ask(self, connection: Connection, invariant: str) -> Result:
        clock = asyncio.get_running_loop().time
        begun = clock()
        question = {"I1": self._i1, "I15": self._i15}.get(invariant) or _query(invariant)
        try:
            found, words = await question(connection)
        except (asyncpg.PostgresError, KeyError) as error:
            if is_weather(error) and not isinstance(error, asyncpg.QueryCanceledError):
                raise
            found, words = 1, f"it could not be asked: {type(error).__name__}"
        return Result(invariant=invariant, found=found, words=words if found else None, seconds=clock() - begun)

    async def _show(self, connection: Connection, result: Result) -> None:
        if result.found:
            log.error("invariant_broken", invariant=result.invariant, found=result.found, words=result.words)
        await audit.write_result(connection, result.invariant, result.found, result.words, result.seconds)

    async def _i1(self, connection: Connection) -> tuple[int, str]:
        """Nobody who complies lost a session, as far as the new entries tell."""
        found, words = 0, ""
        async for entry in self.reading.new_entries(connection):
            wrong = sum(record.number > 0 and record.word != "unprotected" for record in records_of(entry))
            words = words or (f"entry {entry.entry_id}: {wrong} members who comply lost sessions" if wrong else "")
            found += wrong
        return found, words

    async def _i15(self, connection: Connection) -> tuple[int, str]:
        """Each effect has its entry, and the record goes on from where it was seen last."""
        found, words = await audit.check(connection, "I15")
        last = self.witness
        if last is not None and await audit.find_checkpoint(connection, last.number) != last:
            return found + 1, words or f"checkpoint {last.number}, which was seen before, is gone or is another one"
        self.witness = await audit.last_checkpoint(connection)
        return found, words


def _query(invariant: str) -> Callable[[Connection], Awaitable[tuple[int, str]]]:
    async def ask(connection: Connection) -> tuple[int, str]:
        return await audit.check(connection, invariant, *([MOST_FAILURES] if invariant == "I14" else []))

    return ask
