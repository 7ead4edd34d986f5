"""Small organizations beside a large one: each small one's time from the switch to the end of its run, alone and beside.

As many others, just as small, switch on alone, before; these ones one after the other while the large one runs, spread over its
sessions and its letters.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.benchmarks.ground import Crowd, Ground
from tests.benchmarks.system import Crew, System, a_system, check_end, seconds_between
from workers.demo.people import OrganizationSpec, Seeded

SMALL = 10
SMALL_MEMBERS = 50
PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Seconds from the switch to the end of the run: of the small ones alone and beside, in order, and of the large one."""

    alone: Sequence[float]
    beside: Sequence[float]
    large: float

    @property
    def ratio(self) -> float:
        """Median beside against median alone."""
        return statistics.median(self.beside) / statistics.median(self.alone)

    @property
    def worst_ratio(self) -> float:
        """The slowest beside against the median alone."""
        return max(self.beside) / statistics.median(self.alone)


@asynccontextmanager
async def a_crowd(ground: Ground, large: int) -> AsyncIterator[Crowd]:
    """Make a large organization and twice as many small ones as are needed."""
    small = [
        OrganizationSpec(name=f"Small {n}", domain=f"small{n}.example", members=SMALL_MEMBERS, with_oddities=False)
        for n in range(2 * SMALL)
    ]
    async with ground.crowd(OrganizationSpec(members=large, share_unprotected=0.7, with_oddities=False), *small) as crowd:
        yield crowd


async def measure_beside(ground: Ground, crowd: Crowd, *, crew: Crew, seconds_alone: float) -> Beside:
    """Run all of them. `seconds_alone`: how long the large one takes alone, over which the small ones are spread.

    Raises:
        BenchError: A run ended wrongly.
    """
    large, *small = crowd.organizations
    async with ground.copy_of(crowd) as database_url, a_system(ground, database_url, crew=crew) as system:
        alone = []
        for organization in small[:SMALL]:
            await asyncio.sleep(PAUSE_SECONDS)
            alone.append(await _time_of(system, organization, await system.switch_on(organization)))
        run = await system.switch_on(large)
        runs = []
        for organization in small[SMALL:]:
            await asyncio.sleep(0.8 * seconds_alone / SMALL)
            runs.append(await system.switch_on(organization))
        took = await _time_of(system, large, run)
        beside = [await _time_of(system, organization, number) for organization, number in zip(small[SMALL:], runs, strict=True)]
        return Beside(alone=alone, beside=beside, large=took)


async def _time_of(system: System, organization: Seeded, run: int) -> float:
    status = await system.until_done(run)
    await check_end(system, organization, status)
    return seconds_between(status, "requested_at", "finished_at")
