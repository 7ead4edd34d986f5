"""Each alert fires when its cause is there, and only its own kind of cause: brought about for real, scraped, evaluated by promtool."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from jobs.audit.watch import Auditor
from jobs.claiming import run_claimed
from jobs.errors import Broken
from jobs.recorder import LedgerRecorder
from jobs.resources import Resources
from jobs.store import hints
from jobs.store.batches import Claim, Stage
from jobs.store.breakers import Rules
from jobs.store.database import open_pool
from jobs.store.steering import Order, PauseScope, pause
from tests.builders import Organization, a_member, a_session, an_organization
from tests.conftest import UNDER_ROLES
from tests.metrics_parts import NOWHERE, Exporter, an_exporter
from tests.pipeline.world import World
from tests.promtool import ALERTS, MISSING, RULES, check, fires, firing, promtool
from tests.relay import Rule
from tests.relay import Stage as At
from tests.role_parts import LET_ROLES_IN, as_process
from workers.broker import Quarantined, Reason
from workers.conductor import Conductor
from workers.mailer import Fleet, PooledMailer, Signboard
from workers.mailer.limiter import RedisLimiter
from workers.mailer.limits import Limits
from workers.metrics.lag import LoopLag
from workers.metrics.quota import QuotaSettings
from workers.runtime import Runtime

GONE = "postgresql://nobody@127.0.0.1:9/gone"
RELAY = "smtp://relay.example:587"
QUOTA = QuotaSettings(SMTP_URL=RELAY, PORTCULLIS_DAILY_QUOTA=20)
CALM_MINUTES = 5

pytestmark = pytest.mark.skipif(promtool() is None, reason=MISSING)


@dataclass(kw_only=True)
class Scene:
    """What a cause may touch. `exporter` is scraped before and after; a cause may put another one in its place.

    `restoring`: what has to be undone before the checker looks.
    """

    world: World
    exporter: Exporter
    redis_url: str
    organization: Organization
    restoring: AsyncExitStack


Cause = Callable[[Scene], Awaitable[None]]
CAUSES: dict[str, Cause] = {}


def causes(*alerts: str) -> Callable[[Cause], Cause]:
    """Say of which alerts this is the cause."""

    def note(cause: Cause) -> Cause:
        CAUSES.update(dict.fromkeys(alerts, cause))
        return cause

    return note


@pytest.fixture
async def scene(world: World, redis_url: str) -> AsyncIterator[Scene]:
    async with an_exporter(world.pool, redis_url, quota=QUOTA) as exporter:
        await exporter.announce("enforce", "notify")
        await world.conductor.look()
        organization = await an_organization(world.db, members=2)
        async with AsyncExitStack() as restoring:
            yield Scene(world=world, exporter=exporter, redis_url=redis_url, organization=organization, restoring=restoring)


@pytest.mark.parametrize("alert", RULES)
async def test_the_alert_fires_when_its_cause_is_there_and_not_before(alert: str, scene: Scene, tmp_path: Path) -> None:
    calm = (await scene.exporter.scrape()).series
    assert not fires(alert, [(calm, 60)], tmp_path)
    await CAUSES[alert](scene)
    caused = (await scene.exporter.scrape()).series if alert != "PortcullisUnwatched" else {}
    held = minutes(RULES[alert].get("for", "0m"))
    scrapes = [(calm, CALM_MINUTES), (caused, 2 + held)]
    assert fires(alert, scrapes, tmp_path), {name: value for name, value in caused.items() if value != calm.get(name)}
    if held:
        assert not fires(alert, [(calm, CALM_MINUTES), (caused, held)], tmp_path), "it fires before its time"
    assert not fires(alert, [*scrapes, (calm, 30)], tmp_path) or "increase" in RULES[alert]["expr"], "it goes on when the cause is gone"


async def test_a_system_in_order_lets_no_alert_fire(scene: Scene, tmp_path: Path) -> None:
    await scene.world.run_to_end(await scene.world.require(scene.organization))
    assert firing([((await scene.exporter.scrape()).series, 60)], tmp_path) == []


def minutes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([mh])", text)
    assert found, text
    return int(found[1]) * {"m": 1, "h": 60}[found[2]]


# The causes.


async def age(scene: Scene, seconds: float) -> None:
    """Let everything that is due have been due for so long."""
    await scene.world.db.execute(
        "UPDATE portcullis.batch SET next_at = now() - $1::interval, done_at = done_at - $1::interval", timedelta(seconds=seconds)
    )


@causes("PortcullisUnwatched")
async def nobody_is_scraped(_: Scene) -> None:
    """No series at all."""


@causes("PortcullisDatabaseLost")
async def the_database_is_gone(scene: Scene) -> None:
    blind = an_exporter(scene.world.pool, scene.redis_url, asks=await open_pool(GONE, size=1, least=0))
    scene.exporter = await scene.restoring.enter_async_context(blind)


@causes("PortcullisRedisLost")
async def redis_is_gone(scene: Scene) -> None:
    scene.exporter = await scene.restoring.enter_async_context(an_exporter(scene.world.pool, NOWHERE))


@causes("PortcullisGateFails")
async def a_view_of_the_contract_is_gone(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    await scene.world.db.execute("ALTER VIEW directory.member RENAME TO mislaid")
    scene.restoring.push_async_callback(scene.world.db.execute, "ALTER VIEW directory.mislaid RENAME TO member")


@causes("PortcullisGateSlow")
async def a_view_of_the_contract_is_slow(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    columns = "organization_id, user_id, email, email_verified, display_name, locale, time_zone, kind"
    facts = "has_password, has_sso, has_second_factor, is_active"
    await scene.world.db.execute(f"""
        ALTER VIEW directory.member RENAME TO quick;
        CREATE VIEW directory.member AS
        SELECT {columns}, {facts} FROM directory.quick, (SELECT pg_sleep(0.15)) slow OFFSET 0
    """)
    await scene.world.db.execute(LET_ROLES_IN)


@causes("PortcullisNoConductor")
async def the_conductor_resigns(scene: Scene) -> None:
    await hints.resign(scene.world.pool, "conductor")


@causes("PortcullisConductorBehind")
async def nobody_looks(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    await age(scene, 20)


@causes("PortcullisBacklogOld")
async def nobody_works(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    await scene.world.look()
    await age(scene, 400)


@causes("PortcullisRunStuck")
async def one_run_does_not_move_and_others_do(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    await age(scene, 1000)
    other = await an_organization(scene.world.db, members=2)
    await scene.world.require(other)
    await scene.world.db.execute(
        "UPDATE portcullis.batch SET next_at = now() FROM portcullis.run r WHERE r.run_id = batch.run_id AND r.organization_id = $1",
        other.id,
    )


@causes("PortcullisNoWorker")
async def workers_fall_silent(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    await scene.world.db.execute("UPDATE portcullis.worker SET seen_at = now() - interval '1 minute'")


@causes("PortcullisHintDrift")
async def redis_forgets(scene: Scene) -> None:
    for _ in range(6):
        await scene.world.require(await an_organization(scene.world.db))
    assert len(await scene.world.look()) == 6  # the test has them, Redis has none


async def plan_with(scene: Scene, work: Callable[[Resources, Claim], Awaitable[None]], *, times: int) -> None:
    """Have batches to plan done by a worker that does something else."""
    for _ in range(times):
        await scene.world.hurry()
        for hint in await scene.world.look():
            await run_claimed(scene.world.resources, work, stages=(Stage.PLAN,), run_id=hint.run, batch_id=hint.batch, token=hint.token)


@causes("PortcullisDeadBatches")
async def a_batch_is_broken(scene: Scene) -> None:
    async def work(_: Resources, claim: Claim) -> None:
        raise Broken(claim.batch_id, "the view is not what the contract says")

    await scene.world.require(scene.organization)
    await plan_with(scene, work, times=1)


@causes("PortcullisBatchesFail")
async def a_batch_fails_again_and_again(scene: Scene) -> None:
    async def work(_: Resources, claim: Claim) -> None:
        await scene.world.pool.execute("SELECT no_such_column FROM directory.member")

    await scene.world.require(scene.organization)
    await plan_with(scene, work, times=5)


@causes("PortcullisLeasesExpire")
async def workers_are_killed_again_and_again(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    for _ in range(6):
        await scene.world.hurry()
        for hint in await scene.world.look():
            await scene.world.claim(hint)
        await scene.world.let_leases_end()


@causes("PortcullisLoopLag")
async def somebody_blocks_the_loop(scene: Scene) -> None:
    lag = scene.exporter.teller._lag
    assert isinstance(lag, LoopLag)
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    time.sleep(2.7)  # noqa: ASYNC251 -- the cause
    await asyncio.sleep(0.1)
    watching.cancel()


@causes("PortcullisLooksFail")
async def the_conductor_has_no_database(scene: Scene) -> None:
    conductor = Conductor(await open_pool(GONE, size=1, least=0), scene.world.hints)
    running = asyncio.create_task(conductor.run())
    for _ in range(12):
        await asyncio.sleep(0.4)
        conductor.ring()
    conductor.stop()
    await running


@causes("PortcullisHintsUnpublished")
async def redis_refuses_hints(scene: Scene) -> None:
    await scene.world.require(scene.organization)
    scene.world.hints.away = True
    await scene.world.look()
    scene.world.hints.away = False


@causes("PortcullisPausedLong")
async def somebody_pauses_and_goes_home(scene: Scene) -> None:
    await pause(scene.world.db, Order(actor="night shift", via="cli", reason="later"), PauseScope.QUEUE, "notify")


@causes("PortcullisQuarantineRising")
async def a_forged_message_arrives(scene: Scene) -> None:
    runtime = Runtime.__new__(Runtime)
    runtime._pool, runtime._loop = scene.world.pool, asyncio.get_running_loop()
    forged = Quarantined(queue="enforce", reason=Reason.BAD_SIGNATURE, payload=b"forged", digest="0" * 64)
    await asyncio.to_thread(runtime.quarantine, forged)


@causes("PortcullisQuotaNearlyUsed")
async def the_days_quota_is_used(scene: Scene) -> None:
    client = redis.asyncio.Redis.from_url(scene.redis_url)
    limiter = RedisLimiter(client, relay=QUOTA.relays[0], limits=Limits(daily_quota=20))
    assert (await limiter.take("1", {"example.com": 17})).letters == {"example.com": 17}
    await client.aclose()


@causes("PortcullisLettersUnrecorded")
async def the_ledger_takes_nothing(scene: Scene) -> None:
    tries = 0

    async def write(_: object) -> None:
        nonlocal tries
        tries += 1
        if tries < 6:
            raise asyncpg.CannotConnectNowError

    recorder = LedgerRecorder(write, seconds=0)
    recording = asyncio.create_task(recorder.run())
    world, organization = scene.world, scene.organization
    mail = world.resources.mail
    assert mail is not None
    world.resources = replace(world.resources, mail=replace(mail, recorder=recorder))
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    recording.cancel()
    world.resources = replace(world.resources, mail=mail)


@causes("PortcullisLettersDeferred")
async def recipients_are_greylisted_for_long(scene: Scene) -> None:
    world = scene.world
    for _ in range(10):
        await a_member(world.db, scene.organization.id)
    world.relay.rules = [Rule(stage=At.RCPT, reply="450 4.2.0 greylisted")]
    run = await world.require(scene.organization)

    async def are_deferred() -> bool:
        return bool((await world.status(run))["letters"]["deferred"] >= 13)

    await world.step_until(are_deferred)


@causes("PortcullisRelayBreakerOpen")
async def the_relay_is_away(scene: Scene) -> None:
    mail = scene.world.resources.mail
    assert mail is not None
    scene.world.relay.rules = [Rule(stage=At.CONNECT, reply="421 4.3.2 shutting down")]
    run = await scene.world.require(scene.organization)
    await scene.world.enforce_all(run)
    await scene.world.step("notify_batch")
    assert isinstance(mail.mailer, Fleet | PooledMailer)
    signboard = Signboard(scene.world.pool, "test:1", mail.mailer)
    await signboard.show()


async def letters_to(scene: Scene, *domains: str, members: int) -> None:
    """Try to send letters, as often as it takes for mailers to have told what came of them."""
    world = scene.world
    for domain in domains:
        for number in range(members):
            await a_member(world.db, scene.organization.id, email=f"m{number}@{domain}")
    mail = world.resources.mail
    assert mail is not None
    assert mail.breakers is not None
    mail.breakers.rules = Rules()  # as in production: what opens stays open for a minute
    run = await world.require(scene.organization)
    await world.enforce_all(run)
    for _ in range(3):
        await world.hurry()
        await world.step("notify_batch")
        await mail.breakers.tell()
        await mail.breakers.look()


@causes("PortcullisLetterBreakerOpen")
async def the_relay_refuses_the_letter_itself(scene: Scene) -> None:
    scene.world.relay.rules = [Rule(stage=At.DOT, reply="554 5.6.0 content refused")]
    await letters_to(scene, "kestrel.example", members=150)


@causes("PortcullisDomainBreakersOpen")
async def many_domains_want_none_of_us(scene: Scene) -> None:
    scene.world.relay.rules = [Rule(stage=At.RCPT, reply="451 4.7.1 not now", recipient="*.strict.example")]
    await letters_to(scene, *(f"d{number}.strict.example" for number in range(12)), members=25)


@causes("PortcullisAuditViolation", "PortcullisAuditSilent")
async def somebody_stayed_signed_in_and_the_auditor_is_silent_since(scene: Scene) -> None:
    world = scene.world
    await world.run_to_end(await world.require(scene.organization))
    session = await a_session(world.db, scene.organization.members[0].id)
    await world.db.execute("UPDATE app.sessions SET started_at = now() - interval '1 day' WHERE session_id = $1", session)
    pool = await open_pool(as_process(world.url, "auditor") if UNDER_ROLES else world.url, size=1)
    results = await Auditor(pool).look()
    await pool.close()
    assert [result.invariant for result in results if result.found]
    await world.db.execute("DELETE FROM app.sessions WHERE session_id = $1", session)
    await world.db.execute("UPDATE portcullis.audit_result SET looked_at = looked_at - interval '10 minutes'")


# The files.


def test_promtool_finds_no_fault_in_the_rules(tmp_path: Path) -> None:
    assert check("rules", ALERTS.read_text(), tmp_path) == ""


async def test_promtool_finds_no_fault_in_the_metrics(scene: Scene, tmp_path: Path) -> None:
    assert check("metrics", (await scene.exporter.scrape()).text, tmp_path) == ""
    assert "no help text" in check("metrics", "portcullis_total 1\n", tmp_path)
