"""Any history of a few people, two organizations, two admins and a bad day keeps the invariants, at each step and at its end.

Hypothesis writes the histories and shrinks the ones that break something. PostgreSQL, the relay, the conductor and the stages are the
real ones; what the conductor publishes is handed over late, twice, in any order or never, and a worker may be killed at any failpoint.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import jobs.failpoints
from jobs.claiming import _do
from jobs.ports import Envelope
from jobs.ports import Recorder as RecorderPort
from jobs.recorder import LedgerRecorder
from jobs.stages.trigger import Request, trigger
from jobs.store import steering
from jobs.store.steering import Order, PauseScope
from tests.builders import Member, Organization, a_member, an_organization
from tests.checker import verdict_of
from tests.conftest import Databases, _install
from tests.pipeline.world import ACTORS, Hint, World, a_world
from tests.relay import Act, Rule, Stage
from workers.conductor import Conductor
from workers.demo.main_app import IdType
from workers.demo.servers import Servers
from workers.mailer import PooledMailer

POINTS = (
    *("before_claim", "after_claim", "after_plan_step", "in_enforce", "after_enforce", "after_reclaim", "after_mark"),
    *("before_close_letters", "after_owe_lifted", "before_finish", "after_finish", "in_settle", "in_trigger", "after_trigger"),
)
"""Failpoints on the way of a stage; those within a connection and the recorder belong to the nemesis, which kills whole processes."""

MOODS: dict[str, list[Rule]] = {
    "well": [],
    "greylists": [Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", chance=0.5)],
    "knows nobody": [Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", chance=0.5)],
    "takes it and drops": [Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, chance=0.5)],
    "drops": [Rule(stage=Stage.DOT, act=Act.DROP, chance=0.5)],
    "dislikes the letter": [Rule(stage=Stage.DOT, reply="554 5.7.1 policy", chance=0.5)],
    "is away": [Rule(stage=Stage.CONNECT, reply="421 4.3.2 not now")],
}

ACTS = {
    "enrols": "SELECT app.confirm_second_factor($1)",
    "gives the factor up": "SELECT app.remove_second_factor($1)",
    "signs in": "SELECT app.sign_in($1, 'password')",
    "signs in by SSO": "SELECT app.sign_in($1, 'sso')",
    "moves to SSO": "SELECT app.move_to_sso($1)",
    "changes address": "UPDATE app.users SET email = 'new' || user_id || '@moved.example' WHERE user_id = $1",
    "is deactivated": "UPDATE app.users SET deactivated_at = now() WHERE user_id = $1",
    "is back": "UPDATE app.users SET deactivated_at = NULL WHERE user_id = $1",
}

SCOPES = (PauseScope.ORGANIZATION, PauseScope.QUEUE, PauseScope.EVERYTHING)
STEERING = Order(actor="ines", via="cli", reason="a bad day")

MEANWHILE = ["off", "cancel", "off, on", "too late", "pause", "enrols", "moves to SSO", "is deactivated", "changes address"]


class Killed(BaseException):
    """What stands for `kill -9`: nothing catches it, so nothing is cleaned up but what PostgreSQL does by itself."""


@dataclass
class SendsAndDies:
    """A mailer whose process is killed when its letters are out and before any outcome is written down."""

    mailer: PooledMailer

    @property
    def retry_in_seconds(self) -> float:
        return self.mailer.retry_in_seconds

    def turn(self) -> list[str]:
        return self.mailer.turn()

    async def send(self, envelopes: Sequence[Envelope], recorder: RecorderPort, *, seconds: float, relay: str | None = None) -> None:
        await self.mailer.send(envelopes, recorder, seconds=seconds)
        raise Killed


async def _forget(settled: object) -> None:
    """Write nothing down."""


ORGANIZATIONS = st.integers(0, 1)
PEOPLE = st.integers(0, 6)


class Model(RuleBasedStateMachine):
    """The machine; `databases` and `servers` are set by the test."""

    databases: Databases
    servers: Servers
    template: str
    databases_folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.name = self.databases.create(self.template)
        self.stack = AsyncExitStack()
        self.pending: list[Hint] = []
        self.handed: list[Hint] = []
        self.requests: list[UUID] = []
        self.point: str | None = None
        self.world: World = self.do(self.stack.enter_async_context(a_world(self.databases.url_of(self.name), self.servers.redis_url)))
        self.second = Conductor(self.world.pool, self.world.hints, holder="another conductor")

    def do(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    @initialize(kinds=st.lists(st.sampled_from(["unprotected", "protected", "sso", "mixed", "service"]), min_size=7, max_size=7))
    def people(self, kinds: list[str]) -> None:
        self.do(self._people(kinds))

    async def _people(self, kinds: list[str]) -> None:
        db = self.world.db
        first, second = await an_organization(db), await an_organization(db, name="Second")
        self.organizations: list[Organization] = [first, second]
        facts: dict[str, dict[str, Any]] = {
            "unprotected": {},
            "protected": {"factor": True},
            "sso": {"password": False, "sso": True, "sessions": ["sso"]},
            "mixed": {"sso": True, "sessions": ["sso", "password"]},
            "service": {"kind": "service"},
        }
        self.members: list[Member] = [await a_member(db, (first, second)[place % 2].id, **facts[kind]) for place, kind in enumerate(kinds)]

    # The main app.

    @rule(place=ORGANIZATIONS, exempt=st.booleans())
    def switch_on(self, place: int, *, exempt: bool) -> None:
        self._ask(self.world.require(self.organizations[place], exempt_kinds=["service"] if exempt else []))

    @rule(place=ORGANIZATIONS)
    def switch_off(self, place: int) -> None:
        self._ask(self.world.lift(self.organizations[place]))

    @rule(place=ORGANIZATIONS)
    def cancel(self, place: int) -> None:
        run = "SELECT run_id FROM portcullis.run WHERE organization_id = $1 AND state = 'running'"
        if found := self.do(self.world.db.fetchval(run, self.organizations[place].id)):
            self._ask(self.world.cancel(found))

    @rule(place=ORGANIZATIONS, scope=st.sampled_from(SCOPES))
    def somebody_pauses(self, place: int, scope: PauseScope) -> None:
        self.do(self._steer(steering.pause, scope, place))

    @rule(place=ORGANIZATIONS, scope=st.sampled_from(SCOPES))
    def somebody_resumes(self, place: int, scope: PauseScope) -> None:
        self.do(self._steer(steering.resume, scope, place))

    async def _steer(self, order: Callable[..., Awaitable[bool]], scope: PauseScope, place: int) -> None:
        subject = {PauseScope.ORGANIZATION: str(self.organizations[place].id), PauseScope.QUEUE: ("enforce", "notify")[place]}.get(
            scope, ""
        )
        await order(self.world.pool, STEERING, scope, subject)

    @rule(place=ORGANIZATIONS, again=st.booleans())
    def ask_by_message(self, place: int, *, again: bool) -> None:
        """A request arrives; or an old one does, once more."""
        if not again or not self.requests:
            self.requests.append(uuid4())
        organization = self.organizations[place]
        request = Request(
            organization_id=organization.id,
            requested_by=organization.admin.id,
            reason=str(self.requests[-1]),
            request_id=self.requests[-1],
            expires_at=datetime.now(UTC) + timedelta(minutes=10),
        )
        self.do(self.world.checker.look(self.world.history))
        self._survive(trigger(self.world.resources, request))
        self.do(self._note_superseded(organization))

    async def _note_superseded(self, organization: Organization) -> None:
        noted = {stop.run_id for stop in self.world.history.stops}
        rows = await self.world.db.fetch(
            "SELECT run_id FROM portcullis.run WHERE organization_id = $1 AND state = 'cancelled'", organization.id
        )
        await self.world._note_stops({row["run_id"] for row in rows} - noted)

    @rule(who=PEOPLE, act=st.sampled_from(sorted(ACTS)))
    def somebody(self, who: int, act: str) -> None:
        self.do(self.world.change(ACTS[act], self.members[who].id))

    @rule(who=PEOPLE, place=ORGANIZATIONS)
    def joins(self, who: int, place: int) -> None:
        self.do(self.world.change("SELECT app.join_organization($1, $2)", self.organizations[place].id, self.members[who].id))

    @rule(who=PEOPLE, place=ORGANIZATIONS)
    def leaves(self, who: int, place: int) -> None:
        self.do(self.world.change("SELECT app.leave_organization($1, $2)", self.organizations[place].id, self.members[who].id))

    def _ask(self, question: Awaitable[Any]) -> None:
        with suppress(asyncpg.PostgresError):  # refused, with a reason
            self.do(question)

    # Conductors, workers, Redis.

    @rule(other=st.booleans())
    def conductor_looks(self, *, other: bool) -> None:
        if other:
            self.do(self.second.look())
        self.pending += self.do(self.world.look())

    @precondition(lambda self: self.pending)
    @rule(place=st.integers(0, 20), twice=st.booleans())
    def worker_gets_a_hint(self, place: int, *, twice: bool) -> None:
        hint = self.pending.pop(place % len(self.pending))
        self.handed.append(hint)
        self._survive(self.world.hand_over(hint))
        if twice:
            self._survive(self.world.hand_over(hint))

    @rule(rounds=st.integers(0, 3), hint=st.integers(0, 5), place=ORGANIZATIONS, who=PEOPLE, what=st.sampled_from(MEANWHILE))
    def something_happens_while_a_worker_works(self, rounds: int, hint: int, place: int, who: int, what: str) -> None:
        """Between a worker's claim and its work, for which it may be late."""
        self.workers_do_all(rounds)
        hints = self.do(self.world.look())
        if not hints:
            return
        held = hints[hint % len(hints)]
        claim = self.do(self.world.claim(held))
        match what:
            case "off":
                self.switch_off(place)
            case "cancel":
                self.cancel(place)
            case "off, on":
                self.switch_off(place)
                self.switch_on(place, exempt=False)
            case "too late":
                self.leases_end()
                self.workers_do_all(2)
            case "pause":
                self.somebody_pauses(place, PauseScope.EVERYTHING)
            case _:
                self.somebody(who, what)
        self._survive(_do(self.world.resources, claim, ACTORS[held.actor][0]))

    @rule(rounds=st.integers(1, 4))
    def workers_do_all(self, rounds: int) -> None:
        """Look and work as on a good day, for a while."""
        for _ in range(rounds):
            for hint in self.do(self.world.look()):
                self.handed.append(hint)
                self._survive(self.world.hand_over(hint))

    @precondition(lambda self: self.handed)
    @rule(place=st.integers(0, 20), age=st.integers(0, 2))
    def an_old_hint_comes_again(self, place: int, age: int) -> None:
        hint = self.handed[place % len(self.handed)]
        self._survive(self.world.hand_over(replace(hint, token=hint.token + age)))

    @rule()
    def mailer_is_killed_after_sending(self) -> None:
        """As soon as there is a letter to send; what comes before is done."""
        for _ in range(3):
            for hint in self.do(self.world.look()):
                if hint.actor == "notify_batch":
                    self.do(self._kill_mailer(hint))
                    return
                self._survive(self.world.hand_over(hint))

    async def _kill_mailer(self, hint: Hint) -> None:
        mail = self.world.resources.mail
        assert mail is not None
        recorder = LedgerRecorder(_forget, seconds=0.01)
        recording = asyncio.create_task(recorder.run())
        dying = replace(mail, mailer=SendsAndDies(mail.mailer), recorder=recorder)  # type: ignore[arg-type]
        self.world.history.mailer_crashes += 1
        try:
            with suppress(Killed):
                await self.world.hand_over(hint, resources=replace(self.world.resources, mail=dying))
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)

    @rule(point=st.sampled_from(POINTS))
    def next_worker_is_killed_at(self, point: str) -> None:
        self.point = point

    def _survive(self, work: Awaitable[Any]) -> None:
        """Let a worker work, and die if it comes to where it must."""

        def die(place: Any) -> None:
            if place.name == self.point:
                self.point = None
                if place.name == "after_mark":
                    self.world.history.mailer_crashes += 1
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jobs.failpoints, "_folder", self.databases_folder)
            patch.setattr(jobs.failpoints, "_die_if_armed", die)
            with suppress(Killed):
                self.do(work)

    @rule()
    def flushall(self) -> None:
        self.pending.clear()

    @rule(away=st.booleans())
    def redis_is(self, *, away: bool) -> None:
        self.world.hints.away = away

    @rule(mood=st.sampled_from(sorted(MOODS)))
    def relay_is(self, mood: str) -> None:
        self.world.relay.rules = MOODS[mood]

    @rule()
    def time_passes(self) -> None:
        self.do(self.world.hurry())

    @rule()
    def leases_end(self) -> None:
        self.do(self._let_all_leases_end())

    async def _let_all_leases_end(self) -> None:
        await self.world.let_leases_end()
        await self.world.db.execute("UPDATE portcullis.leader SET leased_until = now() - interval '1 second'")
        for conductor in (self.world.conductor, self.second):
            conductor._leads_until = 0.0

    # What holds.

    @invariant()
    def every_invariant_holds(self) -> None:
        if hasattr(self, "members"):
            assert self.do(self.world.violations()) == []

    @invariant()
    def the_gate_stands(self) -> None:
        if hasattr(self, "members"):
            assert self.do(self._wrong_answers()) == []

    async def _wrong_answers(self) -> list[Any]:
        rows = await self.world.db.fetch(
            "SELECT m.*, p.exempt_kinds, portcullis.gate(m.user_id, m.organization_id, 'password') AS answer FROM directory.member m"
            " JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required"
        )
        return [
            (row["user_id"], row["answer"])
            for row in rows
            if (row["answer"] == "none") != (verdict_of(row, row["exempt_kinds"]) not in {"unprotected", "sso"})
        ]

    def teardown(self) -> None:
        try:
            if hasattr(self, "members"):
                self.do(self._good_end())
        finally:
            self.do(self.stack.aclose())
            self.runner.close()
            self.databases.drop(self.name)

    async def _good_end(self) -> None:
        """The faults are over, and every run ends by itself."""
        world = self.world
        world.hints.away, world.relay.rules = False, []
        for pause in await steering.list_pauses(world.pool):
            await steering.resume(world.pool, STEERING, pause.scope, pause.subject)
        await self._let_all_leases_end()
        await asyncio.sleep(0.12)  # the relay's breaker, at its longest here
        for row in await world.db.fetch("SELECT run_id FROM portcullis.run ORDER BY run_id"):
            await world.run_to_end(row["run_id"])
        assert await world.violations() == []


@pytest.mark.survives("any history of all of these, shrunk when it breaks something", "I1 I2 I3 I4 I5 I6 I7 I8 I10 I11 I18 I19")
def test_any_history_keeps_the_invariants(databases: Databases, servers: Servers, tmp_path: Path) -> None:
    template = databases.template("installed", IdType.BIGINT, build=lambda url: _install(url, IdType.BIGINT))
    members = {"databases": databases, "servers": servers, "template": template, "databases_folder": tmp_path}
    run_state_machine_as_test(
        type("ModelHere", (Model,), members),
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True),
    )
