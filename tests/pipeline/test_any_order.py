"""Everything at once, in any order: people, admins, a moody relay, hints lost and doubled, workers killed. Then the checker looks.

`SEED=7 pytest tests/pipeline/test_any_order.py` repeats one history as far as timing allows; `ROUNDS=500` makes it longer.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobs.errors import Deferred, Obsolete
from jobs.resources import Resources
from jobs.stages import plan
from jobs.store import batches
from tests.builders import Member, Organization, a_member, a_session, an_organization
from tests.pipeline.world import ACTORS, Hint, World, a_mailroom
from tests.relay import Act, Rule, Stage

ROUNDS = int(os.environ.get("ROUNDS", "60"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1]

MOODS = (
    Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now", chance=0.5),
    Rule(stage=Stage.MAIL, reply="421 4.3.2 closing", chance=0.1),
    Rule(stage=Stage.MAIL, reply="451 4.3.0 later", chance=0.1),
    Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", chance=0.3),
    Rule(stage=Stage.RCPT, reply="550 5.1.1 unknown", chance=0.05),
    Rule(stage=Stage.DATA, act=Act.DROP, chance=0.1),
    Rule(stage=Stage.DOT, act=Act.DROP, chance=0.1),
    Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, chance=0.1),
    Rule(stage=Stage.DOT, reply="452 4.5.3 too many", chance=0.1),
)


@dataclass
class Worker:
    """One worker process, as far as it can be killed in this one: its mailroom and whatever it is at die with it."""

    resources: Resources
    stack: AsyncExitStack
    at: set["asyncio.Task[None]"] = field(default_factory=set)

    def begin(self, hint: Hint) -> None:
        task = asyncio.create_task(self._obey(hint))
        self.at.add(task)
        task.add_done_callback(self.at.discard)

    async def _obey(self, hint: Hint) -> None:
        """Do what `jobs.claiming` does, but for what it does when it is cancelled: who is killed gives nothing back."""
        work, stages = ACTORS[hint.actor]
        claim = await batches.claim(
            self.resources.pool,
            run_id=hint.run,
            batch_id=hint.batch,
            token=hint.token,
            stages=stages,
            lease=self.resources.lease,
            holder=self.resources.holder,
        )
        if claim is None:
            return
        try:
            await work(self.resources, claim)
        except Obsolete:
            return
        except Deferred as deferred:
            await batches.release(self.resources.pool, claim, seconds=deferred.seconds, is_attempt=False, error=deferred.reason)
        except asyncpg.PostgresError as error:
            await batches.release(self.resources.pool, claim, seconds=0.1, is_attempt=True, error=str(error))

    async def kill(self) -> None:
        tasks = list(self.at)
        while any(not task.done() for task in tasks):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        await self.stack.aclose()


@dataclass
class Chaos:
    """What may happen, and to whom."""

    world: World
    redis_url: str
    random: random.Random
    organizations: list[Organization] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)

    async def a_worker(self) -> Worker:
        stack = AsyncExitStack()
        mail = await stack.enter_async_context(a_mailroom(self.world.pool, self.redis_url, self.world.relay))
        holder = f"worker {self.random.random()}"
        return Worker(replace(self.world.resources, holder=holder, mail=mail, lease=timedelta(seconds=60)), stack)

    async def people(self) -> None:
        """One thing that somebody does."""
        member = self.random.choice(self.members)
        organization = self.random.choice(self.organizations)
        change = self.world.change
        match self.random.randrange(9):
            case 0:
                await change("SELECT app.confirm_second_factor($1)", member.id)
            case 1:
                await change("SELECT app.remove_second_factor($1)", member.id)
            case 2:
                await change("SELECT app.move_to_sso($1)", member.id)
            case 3:
                await change("UPDATE app.users SET password_hash = 'hash', deactivated_at = NULL WHERE user_id = $1", member.id)
            case 4:
                await change("SELECT app.leave_organization($1, $2)", organization.id, member.id)
            case 5:
                await change("SELECT app.join_organization($1, $2)", organization.id, member.id)
            case 6:
                await change("UPDATE app.users SET email = $2 WHERE user_id = $1", member.id, f"new{self.random.random()}@kestrel.example")
            case 7:
                await change("SELECT app.deactivate($1)", member.id)
            case _:
                await self.world.db.execute("SELECT app.sign_in($1, $2)", member.id, self.random.choice(["password", "sso", "token"]))

    async def admins(self) -> None:
        """Somebody flips a switch, or cancels."""
        organization = self.random.choice(self.organizations)
        with suppress(asyncpg.PostgresError):
            match self.random.randrange(4):
                case 0:
                    await self.world.lift(organization)
                case 1:
                    run = await self.world.db.fetchval(
                        "SELECT run_id FROM portcullis.run WHERE organization_id = $1 AND state = 'running'", organization.id
                    )
                    if run:
                        await self.world.cancel(run)
                case _:
                    await self.world.require(organization)

    async def fate(self) -> None:
        """Something goes wrong."""
        match self.random.randrange(6):
            case 0:
                self.world.relay.rules[:] = self.random.sample(MOODS, self.random.randrange(4))
            case 1:
                self.world.hang_up()
            case 2:
                self.hints.clear()
            case 3:
                await self.kill_one()
            case 4:
                await self.world.hurry()
            case _:
                self.hints += self.random.choices(self.hints, k=3) if self.hints else []

    async def kill_one(self) -> None:
        """Kill a worker; its leases run out some time later, when a new one is there."""
        worker = self.workers.pop(self.random.randrange(len(self.workers)))
        await worker.kill()
        self.world.history.mailer_crashes += 1
        await self.world.db.execute(
            "UPDATE portcullis.batch SET leased_until = now() - interval '1 second' WHERE holder = $1 AND leased_until IS NOT NULL",
            worker.resources.holder,
        )
        self.workers.append(await self.a_worker())

    async def round(self) -> None:
        """Let the conductor look, hand some hints to some workers in some order, and let something happen meanwhile."""
        self.hints += await self.world.look()
        self.random.shuffle(self.hints)
        for _ in range(min(len(self.hints), self.random.randrange(5))):
            hint = self.random.choice(self.hints) if self.random.random() < 0.2 else self.hints.pop()
            self.random.choice(self.workers).begin(hint)
        await self.random.choices([self.people, self.admins, self.fate], [6, 1, 2])[0]()
        await asyncio.sleep(self.random.random() * 0.02)

    async def calm_down(self) -> None:
        """Faults stop: everything that was begun must end by itself."""
        self.world.relay.rules.clear()
        for worker in self.workers:
            while worker.at:
                await asyncio.wait(worker.at)
        await self.world.let_leases_end()
        await self.world.replay_all()
        await self.world.step_until(self.world.nothing_open, rounds=200)
        self.world.history.over += [row["run_id"] for row in await self.world.db.fetch("SELECT run_id FROM portcullis.run")]


@asynccontextmanager
async def a_chaos(world: World, redis_url: str, seed: int) -> AsyncIterator[Chaos]:
    chaos = Chaos(world, redis_url, random.Random(seed))
    chaos.organizations = [await an_organization(world.db, name=f"Organization {number}") for number in range(3)]
    for number in range(24):
        member = await a_member(world.db, chaos.organizations[number % 3].id, factor=number % 5 == 0, sso=number % 7 == 0)
        chaos.members.append(member)
        if number % 4 == 0:
            await world.db.execute("SELECT app.join_organization($1, $2)", chaos.organizations[(number + 1) % 3].id, member.id)
        await a_session(world.db, member.id, "sso")
    await world.checker.look(world.history)
    chaos.workers = [await chaos.a_worker() for _ in range(3)]
    try:
        yield chaos
    finally:
        for worker in chaos.workers:
            await worker.kill()


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_the_invariants_hold(world: World, redis_url: str, seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(plan, "RANGE", 4)
    async with a_chaos(world, redis_url, seed) as chaos:
        for _ in range(ROUNDS):
            await chaos.round()
        await chaos.calm_down()
    assert await world.violations() == []
