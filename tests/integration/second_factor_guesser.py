"""A process that guesses codes, many at once, as an attacker who has the password would: for the test of races.

    python -m tests.integration.second_factor_guesser DATABASE_URL USER_ID FIRST LAST SECONDS

Prints a line for every secret that was opened, which is what looking at a code takes, and one for every answer. `SECONDS` is the clock
that all processes share.
"""

import asyncio
import sys
from datetime import UTC, datetime

import structlog

from jobs.keys import KeyRing
from jobs.second_factor import sealing, verification, verify
from jobs.second_factor.sealing import Place, Sealed
from tests.integration.second_factor_parts import KEYS, at_once, shown


def report_openings() -> None:
    """Print whenever a secret is opened; a decoy, sealed on the spot for nobody, is none."""

    def watched(keys: KeyRing, place: Place, sealed: Sealed) -> bytes:
        if place.item_id != verification.NOBODY:
            tell("opened")
        return sealing.unseal(keys, place, sealed)

    verification.__dict__["unseal"] = watched


def tell(line: str) -> None:
    """Write one line at once: this process may be killed at any moment."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def guess(url: str, user_id: int, codes: range, now: datetime) -> None:
    """Try every code of the range."""

    async def one(db: object, number: int) -> None:
        answer = await verify(db, KEYS, shown(user_id), f"{codes[number]:06}", at=now)
        tell(type(answer).__name__)

    await at_once(url, len(codes), one, connections=10)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    report_openings()
    database_url, user, first, last, seconds = sys.argv[1:]
    asyncio.run(guess(database_url, int(user), range(int(first), int(last)), datetime.fromtimestamp(float(seconds), UTC)))
