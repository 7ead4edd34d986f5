"""A mailer is killed again and again while it sends: how many letters arrive twice for it, and whether one is lost.

Thirty times in the test run; `PORTCULLIS_KILLS=400` makes it four hundred.
"""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress

import pytest

from jobs.recorder import CAPACITY
from tests.builders import Organization, an_organization
from tests.pipeline.world import World

KILLS = int(os.environ.get("PORTCULLIS_KILLS", "30"))
LETTERS_A_LIFE = 130
CONNECTIONS = 4
"""As many as `a_mailroom` allows."""
MOST = CAPACITY + 2 * CONNECTIONS


class Lives:
    """The process that forks mailers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self) -> int:
        """Return the process id of a new mailer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"go\n")
        return int(await self._process.stdout.readline())

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def kill(world: World, mailer: int) -> None:
    """Kill it, and wait until PostgreSQL has done what it had asked for."""
    os.kill(mailer, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(mailer, 0)
            await asyncio.sleep(0.005)
    world.history.mailer_crashes += 1
    await world.until(
        lambda: world.db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND query ILIKE '%portcullis.delivery%' AND pid <> pg_backend_pid()"
        ),
        0,
    )
    await world.let_leases_end()


async def taken_and_not_written(world: World, begun: int) -> int:
    """Count letters that the relay has accepted from this mailer and the ledger calls `sending`: they will go out once more."""
    rows = await world.db.fetch("SELECT recipient FROM portcullis.delivery WHERE state = 'sending'")
    accepted = {letter.recipient for letter in world.relay.accepted[begun:]}
    return sum(row["recipient"] in accepted for row in rows)


async def many(world: World, members: int) -> Organization:
    """Return an organization with so many members without a second factor."""
    organization = await an_organization(world.db)
    await world.db.execute(
        "WITH them AS (INSERT INTO app.users (user_id, email, password_hash)"
        " SELECT 100000 + n, 'm' || n || '@kestrel.example', 'hash' FROM generate_series(1, $2) n RETURNING user_id)"
        " INSERT INTO app.memberships (organization_id, user_id) SELECT $1, user_id FROM them",
        organization.id,
        members,
    )
    return organization


@pytest.mark.survives("kill -9 of a mailer", "I4 I6")
async def test_a_killed_mailer_doubles_no_more_than_it_may_have_in_the_air_and_loses_none(
    world: World, database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await world.require(await many(world, KILLS * LETTERS_A_LIFE + 300))
    await world.enforce_all(run)
    command = (sys.executable, "-m", "tests.pipeline.lone_mailer", database_url, redis_url, str(world.relay.port))
    pipe = asyncio.subprocess.PIPE
    lives = Lives(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL))
    chance = random.Random(5)
    doubles: list[int] = []
    while len(doubles) < KILLS:
        begun, mailer = world.relay.letters, await lives.begin()
        await world.until_so(lambda begun=begun: world.relay.letters > begun)  # type: ignore[misc]
        await asyncio.sleep(chance.random() * 0.06)
        await kill(world, mailer)
        doubles.append(await taken_and_not_written(world, begun))
        assert doubles[-1] <= MOST
    last = await lives.begin()
    async with asyncio.timeout(60 + KILLS):
        while not await world.has_none(run, "notice"):
            await world.db.execute("UPDATE portcullis.delivery SET next_at = now() WHERE next_at > now()")
            await world.db.execute("UPDATE portcullis.batch SET next_at = now() WHERE state = 'open' AND next_at > now()")
            await asyncio.sleep(0.1)
    await kill(world, last)
    await lives.end()
    accepted = world.relay.recipients()
    found = sum(times - 1 for times in accepted.values())
    with capsys.disabled():
        sys.stderr.write(
            f"\n{len(doubles)} kills, {len(accepted):,} letters: {found} doubles, at most {max(doubles)} a kill (bound {MOST}),"
            f" {sum(doubles) / len(doubles):.1f} on average\n"
        )
    status = await world.run_to_end(run)
    assert status["letters"]["accepted"] + status["letters"]["uncertain"] == status["members"]
    assert found <= sum(doubles) + status["letters"]["uncertain"] + 2 * CONNECTIONS * KILLS
    everybody = await world.db.fetch("SELECT email FROM app.users")
    assert Counter({row["email"]: 1 for row in everybody}) <= world.relay.recipients()
