"""A whole run in one process, step by step: PostgreSQL, a relay, the conductor and the stages are the real ones.

Only dramatiq is left out: what the conductor publishes is kept in a list and handed over when the test says so, once, twice or never.
Waiting is replaced by `hurry`, which makes due whatever waits for a time, and `let_leases_end`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import asyncpg
import redis.asyncio

from jobs.audit import checkpoints, sealing
from jobs.audit.findings import Finding
from jobs.audit.verification import Trust, verify
from jobs.breakers import Breakers
from jobs.claiming import Work, run_claimed
from jobs.keys import Key, KeyRing, Purpose
from jobs.letters import Composer
from jobs.recorder import LedgerRecorder
from jobs.resources import Mail, Resources
from jobs.routing import LETTERS
from jobs.stages.enforce import enforce
from jobs.stages.finish import close_run
from jobs.stages.plan import plan
from jobs.stages.remind import write_letters
from jobs.store import batches, deliveries
from jobs.store.batches import Claim, Stage
from jobs.store.breakers import Rules
from jobs.store.database import Pool, open_pool
from jobs.store.roles import Role
from jobs.store.statements import statement
from tests import record
from tests.builders import Member, Organization
from tests.checker import Accepted, Checker, Evidence, History, Stop, find_violations
from tests.conftest import UNDER_ROLES
from tests.relay import Relay
from tests.role_parts import acting_as, as_role
from workers.conductor import Conductor
from workers.mailer import PooledMailer, RedisLimiter
from workers.mailer.breaker import RelayBreaker
from workers.mailer.limiter import Limits
from workers.settings import Relay as RelaySettings

KEY = b"the key of Message-IDs in tests!"
SENDER = "security@app.example.com"
RING = KeyRing((Key(id="k1", secret=bytes(range(32))),))
"""What vouches for the audit in tests."""

ACTORS: dict[str, tuple[Work, tuple[Stage, ...]]] = {
    "plan_run": (plan, (Stage.PLAN,)),
    "enforce_batch": (enforce, (Stage.ENFORCE,)),
    "notify_batch": (write_letters, LETTERS),
    "finish_run": (close_run, (Stage.FINISH, Stage.SETTLE)),
}
"""What each actor does with a hint; the same table stands in `jobs.pipeline`, which needs a broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What the conductor published."""

    actor: str
    run: int
    batch: int
    token: int
    first: bool


@dataclass
class Hints:
    """Takes the place of Redis: hints in the order of their publication. `away`: publishing fails."""

    published: list[Hint] = field(default_factory=list)
    away: bool = False

    async def publish(self, messages: Sequence[Any], *, first: bool = False) -> None:
        if self.away:
            raise ConnectionError("Redis is away")
        self.published += [Hint(actor=message.actor_name, first=first, **message.kwargs) for message in messages]


@dataclass(kw_only=True)
class World:
    """What a test steps through. `db` is for what people do and for whatever the test needs; what happens on it is committed at once.

    Under roles `app`, where the switch is flipped, has the rights of the main app, and `pool` those of a worker.
    """

    url: str
    db: asyncpg.Connection
    app: asyncpg.Connection
    pool: Pool
    relay: Relay
    resources: Resources
    conductor: Conductor
    hints: Hints
    checker: Checker
    is_touched: bool = False
    """Whether the test itself did to the record what must be found."""
    history: History = field(default_factory=History)

    @asynccontextmanager
    async def another(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect once more, for what must happen beside `db`; with every right."""
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    # The main app, and people.

    async def require(self, organization: Organization, *, exempt_kinds: Sequence[str] = ()) -> int:
        """Switch on; returns the run."""
        await self.checker.look(self.history)
        running = await self._running(organization)
        run: int = await self.app.fetchval(
            "SELECT portcullis.require_second_factor($1, $2, 'audit', $3)", organization.id, organization.admin.id, list(exempt_kinds)
        )
        await self._note_stops({*running} - {run})
        return run

    async def lift(self, organization: Organization) -> None:
        running = await self._running(organization)
        await self.app.execute("SELECT portcullis.lift_second_factor($1, $2, 'over')", organization.id, organization.admin.id)
        await self._note_stops(running)

    async def cancel(self, run: int) -> None:
        await self.app.execute("SELECT portcullis.cancel_run($1, 'wrong day')", run)
        await self._note_stops([run])

    async def change(self, statement: str, *arguments: Any) -> None:
        """Change something about people, and remember how they were before and after."""
        await self.checker.look(self.history)
        await self.db.execute(statement, *arguments)
        await self.checker.look(self.history)

    async def enrol(self, member: Member) -> None:
        """Confirm a factor as an app would that has its own and ends no other session: ours must leave those alone."""
        await self.change("INSERT INTO app.second_factors (user_id, confirmed_at) VALUES ($1, now())", member.id)

    # The run.

    async def look(self) -> list[Hint]:
        """Let the conductor look once, a second after the last time, and return what it published, taken away from the workers."""
        self.conductor._chores_at = 0.0
        await self.conductor.look()
        published, self.hints.published = self.hints.published, []
        return published

    async def hand_over(self, hint: Hint, *, resources: Resources | None = None) -> None:
        """Be the worker that gets the hint."""
        work, stages = ACTORS[hint.actor]
        await run_claimed(resources or self.resources, work, stages=stages, run_id=hint.run, batch_id=hint.batch, token=hint.token)

    async def step(self, *actors: str) -> list[Hint]:
        """Look once, and hand over what is for `actors` (by default everything), in order. The other hints are lost."""
        hints = [hint for hint in await self.look() if not actors or hint.actor in actors]
        for hint in hints:
            await self.hand_over(hint)
        return hints

    async def step_until(self, condition: "Callable[[], Any]", *actors: str, rounds: int = 60) -> None:
        """Step until the coroutine that `condition` makes answers yes; what waits for a time is made due."""
        for _ in range(rounds):
            if await condition():
                return
            if not await self.step(*actors):
                await self.hurry()
        raise AssertionError(f"still not so after {rounds} steps: {await self.unfinished()}")

    async def run_to_end(self, run: int) -> dict[str, Any]:
        """Step until the run has ended and nothing of it is open but letters that recipients deferred; returns its status."""

        async def is_over() -> bool:
            stages = await self.db.fetchval(
                "SELECT array_agg(stage) FROM portcullis.batch WHERE run_id = $1 AND state = 'open' AND stage <> 'deferred'", run
            )
            return not stages and await self.state(run) != "running"

        self.history.over.append(run)
        await self.step_until(is_over)
        return await self.status(run)

    async def enforce_all(self, run: int) -> None:
        """Step until no session must be ended any more; no letter leaves meanwhile."""
        await self.step_until(lambda: self.has_none(run, "plan", "enforce"), "plan_run", "enforce_batch")

    async def claim(self, hint: Hint) -> Claim:
        """Claim as a worker does, and do nothing with it: what is left of one that was killed."""
        claim = await batches.claim(
            self.pool,
            run_id=hint.run,
            batch_id=hint.batch,
            token=hint.token,
            stages=ACTORS[hint.actor][1],
            lease=self.resources.lease,
            holder="somebody",
        )
        assert claim is not None
        return claim

    # Time.

    async def hurry(self) -> None:
        """Let so much time pass that everything is due and every hint that was lost is missed."""
        await self.db.execute("UPDATE portcullis.delivery SET next_at = now() WHERE next_at > now()")
        await self.db.execute(
            "UPDATE portcullis.batch SET next_at = least(next_at, now()), hinted_at = hinted_at - interval '10 minutes'"
            " WHERE state = 'open'"
        )

    async def let_leases_end(self) -> None:
        """Let so much time pass that nobody holds anything."""
        await self.db.execute("UPDATE portcullis.batch SET leased_until = now() - interval '1 second' WHERE leased_until IS NOT NULL")

    def hang_up(self) -> None:
        """Cut every connection to the relay."""
        for session in tuple(self.relay._sessions):
            session.cancel()

    async def until(self, ask: Callable[[], Awaitable[Any]], answer: Any) -> None:
        """Ask again and again, until that is the answer."""
        async with asyncio.timeout(20):
            while await ask() != answer:  # noqa: ASYNC110 -- what is waited for happens in the database
                await asyncio.sleep(0.01)

    async def until_so(self, condition: Callable[[], object]) -> None:
        """Wait until something at the relay is so."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 -- the relay has no event for each thing
                await asyncio.sleep(0.005)

    # What is so.

    async def status(self, run: int) -> dict[str, Any]:
        status: dict[str, Any] = await self.pool.fetchval("SELECT portcullis.run_status($1)", run)
        return status

    async def state(self, run: int) -> str:
        return str(await self.db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run))

    async def batches(self, run: int, *stages: str) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.db.fetch(
            "SELECT * FROM portcullis.batch WHERE run_id = $1 AND (cardinality($2::text[]) = 0 OR stage = ANY ($2)) ORDER BY batch_id",
            run,
            stages,
        )
        return rows

    async def letter(self, run: int, member: Member, slot: str = "notice") -> asyncpg.Record:
        """Return a row of the ledger."""
        row = await self.db.fetchrow(
            "SELECT * FROM portcullis.delivery WHERE run_id = $1 AND slot = $2 AND member_id = $3", run, slot, member.id
        )
        assert row is not None, f"no {slot} letter of run {run} to {member}"
        return row

    async def live(self, *members: Member) -> list[int]:
        """Return the sessions of these members that are live."""
        rows = await self.db.fetch(
            "SELECT session_id FROM directory.session WHERE user_id = ANY ($1) ORDER BY 1", [member.id for member in members]
        )
        return [row["session_id"] for row in rows]

    def kinds(self, member: Member) -> list[str | None]:
        """Return the kinds of letters that the relay has accepted for somebody, in order."""
        return [letter.kind for letter in self.relay.accepted if letter.recipient == member.email]

    def contents(self, member: Member) -> list[bytes]:
        """Return what the relay has accepted for somebody, in order."""
        both = zip(self.relay.accepted, self.relay.contents, strict=True)
        return [content for letter, content in both if letter.recipient == member.email]

    async def somebody_waits(self, *, count: int = 1) -> list[int]:
        """Return the processes of PostgreSQL that wait for a lock, when there are as many."""
        async with asyncio.timeout(20), self.another() as watcher:
            while True:
                rows = await watcher.fetch(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' ORDER BY query_start"
                )
                if len(rows) >= count:
                    return [row["pid"] for row in rows]
                await asyncio.sleep(0.01)

    async def terminate(self, process: int) -> None:
        """Cut a connection of somebody else's."""
        async with self.another() as strong:
            await strong.execute("SELECT pg_terminate_backend($1)", process)

    async def replay(self, run: int) -> int:
        """Have a run's dead batches tried again; returns how many there were."""
        return len(await self.pool.fetch(statement("replay_batches"), None, run, None, "it was mended", 1_000))

    async def replay_all(self) -> None:
        """Have every dead batch tried again."""
        for row in await self.db.fetch("SELECT DISTINCT run_id FROM portcullis.batch WHERE state = 'dead'"):
            await self.replay(row["run_id"])

    async def nothing_open(self) -> bool:
        """Say whether nothing is left to do anywhere, deferred letters included."""
        return not await self.db.fetchval("SELECT EXISTS (SELECT FROM portcullis.batch WHERE state = 'open')")

    async def unfinished(self) -> list[str]:
        rows = await self.db.fetch(
            "SELECT format('%s %s: %s attempts, %s owed, %s sending, %s', stage, batch_id, attempts, owed, sending, error) AS line"
            " FROM portcullis.batch WHERE state IN ('open', 'dead') ORDER BY batch_id"
        )
        return [row["line"] for row in rows]

    async def violations(self) -> list[str]:
        """Ask the checker."""
        evidence = await self.gather()
        return find_violations(evidence) + list(record.violations(evidence))

    async def record_finding(self) -> Finding | None:
        """Be the notary, and verify the whole record: return what is found to be wrong with it."""
        while (await sealing.seal(self.db, RING.current(Purpose.AUDIT)))[0]:
            pass
        await checkpoints.sign(self.db, RING)
        return (await verify(self.db, Trust.in_ring(RING))).finding

    async def gather(self) -> Evidence:
        """Let the checker find out everything there is to know."""
        accepted = [
            Accepted(recipient=letter.recipient, message_id=letter.message_id, at=letter.at, kind=letter.kind)
            for letter in self.relay.accepted
        ]
        return await self.checker.gather(self.history, accepted)

    async def _running(self, organization: Organization) -> list[int]:
        rows = await self.db.fetch(
            "SELECT run_id FROM portcullis.run WHERE organization_id = $1 AND (state = 'running' OR has_open_batches)", organization.id
        )
        return [row["run_id"] for row in rows]

    async def _note_stops(self, runs: "Sequence[int] | set[int]") -> None:
        now = await self.checker.now()
        self.history.stops += [Stop(run_id=run, at=now) for run in runs]

    async def has_none(self, run: int, *stages: str) -> bool:
        return not any(batch["state"] == "open" for batch in await self.batches(run, *stages))


@asynccontextmanager
async def a_world(
    database_url: str, redis_url: str, *, relay: Relay | None = None, limits: Limits | None = None, roles: bool = UNDER_ROLES
) -> AsyncIterator[World]:
    """Open a world with one worker for everything. Whatever the test did with it, the invariants hold at its end."""
    async with AsyncExitStack() as stack:
        db = await asyncpg.connect(database_url)
        stack.push_async_callback(db.close)
        app = await stack.enter_async_context(acting_as(database_url, Role.APP)) if roles else db
        pool = await open_pool(as_role(database_url, Role.WORKER) if roles else database_url, size=6)
        stack.push_async_callback(pool.close)
        relay = await stack.enter_async_context(relay or Relay())
        mail = await stack.enter_async_context(a_mailroom(pool, redis_url, relay, limits=limits))
        checker = await stack.enter_async_context(Checker.open(database_url, message_id_key=KEY))
        hints = Hints()
        yield World(
            url=database_url,
            db=db,
            app=app,
            pool=pool,
            relay=relay,
            resources=Resources(pool=pool, holder="test", mail=mail, audit_key=RING.current(Purpose.AUDIT)),
            conductor=Conductor(pool, hints, holder="conductor"),
            hints=hints,
            checker=checker,
        )


@asynccontextmanager
async def a_mailroom(
    pool: Pool, redis_url: str, relay: Relay, *, limits: Limits | None = None, rules: Rules | None = None
) -> AsyncIterator[Mail]:
    """Open what only mailers have. The breakers wait for milliseconds, so that a test need not."""
    client = redis.asyncio.Redis.from_url(redis_url)
    mailer = PooledMailer(
        RelaySettings.parse(f"smtp://127.0.0.1:{relay.port}"),
        hostname="client.test",
        connections=4,
        connections_per_minute=0,
        breaker=RelayBreaker(first_seconds=0.02, longest_seconds=0.1),
    )
    breakers = Breakers(pool, holder="test", rules=rules or Rules(first_pause=0.1, longest_pause=0.2, patience=2))
    following = asyncio.create_task(breakers.follow(seconds=0.05))
    recorder = LedgerRecorder(lambda settled: deliveries.record(pool, settled), seconds=0.02, breakers=breakers)
    recording = asyncio.create_task(recorder.run())
    composer = Composer(mail_from=SENDER, app_url="https://app.example.com", message_id_key=KEY, message_id_key_id="k1")
    try:
        yield Mail(
            mailer=mailer,
            limiter=RedisLimiter(client, relay="relay", limits=limits or Limits()),
            recorder=recorder,
            composer=composer,
            breakers=breakers,
        )
    finally:
        recording.cancel()
        following.cancel()
        await asyncio.gather(recording, following, return_exceptions=True)
        await mailer.aclose(seconds=0.1)
        await client.aclose()


def with_lease(resources: Resources, seconds: float) -> Resources:
    """Return the same resources with another lease."""
    return replace(resources, lease=timedelta(seconds=seconds))
