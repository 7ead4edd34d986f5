"""How long an idle system needs from the switch to the first session ended, as somebody outside sees it.

One small organization after the other switches on, with a pause of random length in between, so that nothing is warm or in step. The
clock starts before the switch is called and stops when another connection sees the first session's end committed (it looks each ms).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks.ground import Crowd, Ground, connected
from tests.benchmarks.system import BenchError, Crew, System, a_system, check_end
from workers.demo.people import OrganizationSpec, Seeded

MEMBERS = 20
PAUSE_SECONDS = (0.2, 0.6)
LOOK_SECONDS = 0.001
MOST_SECONDS = 30

SEEN = """
    SELECT EXISTS (
        SELECT FROM app.memberships AS membership
        JOIN app.sessions AS session ON session.user_id = membership.user_id
        WHERE membership.organization_id = $1 AND session.ended_at > $2)
"""


@asynccontextmanager
async def a_crowd(ground: Ground, switches: int) -> AsyncIterator[Crowd]:
    """Make as many small organizations as there will be switches."""
    specs = [OrganizationSpec(name=f"Small {n}", domain=f"small{n}.example", members=MEMBERS, with_oddities=False) for n in range(switches)]
    async with ground.crowd(*specs) as crowd:
        yield crowd


async def first_sessions(ground: Ground, crowd: Crowd, *, crew: Crew) -> list[float]:
    """Return the seconds of each switch, in order.

    Raises:
        BenchError: A run ended wrongly, or no session ended at all.
    """
    async with (
        ground.copy_of(crowd) as database_url,
        a_system(ground, database_url, crew=crew) as system,
        connected(database_url) as outsider,
    ):
        seen = await outsider.prepare(SEEN)
        began = await outsider.fetchval("SELECT now()")
        seconds = []
        for organization in crowd.organizations:
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
            begin = time.perf_counter()
            run = await system.switch_on(organization)
            while not await seen.fetchval(organization.organization_id, began):
                await asyncio.sleep(LOOK_SECONDS)
                if time.perf_counter() > begin + MOST_SECONDS:
                    raise BenchError(f"no session of {organization.name} ended within {MOST_SECONDS} s")
            seconds.append(time.perf_counter() - begin)
            await _finish(system, organization, run)
        return seconds


async def _finish(system: System, organization: Seeded, run: int) -> None:
    await check_end(system, organization, await system.until_done(run))
