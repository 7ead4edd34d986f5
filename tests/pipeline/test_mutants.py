"""The checker is worth its name: each bug that real systems shipped, put into ours, is caught.

A mutant is a change of a statement or a function, made here and nowhere else, and a short story in which it shows. Each story is also
told without its mutant: then nothing may be found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from jobs.errors import Obsolete
from jobs.keys import KeyRing
from jobs.letters import Composer
from jobs.stages.enforce import enforce
from jobs.stages.trigger import Request, trigger
from jobs.store import batches, deliveries, hints, requests, runs
from jobs.store.batches import Claim
from jobs.store.statements import RangeStatement
from tests.builders import Member, Organization, a_member, an_organization
from tests.checker import verdict_of
from tests.pipeline.world import SENDER, World, a_mailroom, a_world
from workers.broker.rejected import RejectedError
from workers.broker.screening import Screening
from workers.broker.signed_encoder import SignedEncoder

Spoil = Callable[[World, pytest.MonkeyPatch], Awaitable[None]]
Story = Callable[[World], Awaitable[Iterable[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A bug: what it is, the invariant that it breaks, how it is made, and the story in which it shows."""

    name: str
    breaks: str
    spoil: Spoil
    story: Story


# How mutants are made.


def statement(module: Any, name: str, old: str, new: str) -> Spoil:
    """Change a statement of ours."""

    async def spoil(_: World, patch: pytest.MonkeyPatch) -> None:
        original = getattr(module, name)
        text = original.text if isinstance(original, RangeStatement) else original
        assert old in text, f"{name} no longer has {old!r}"
        changed = text.replace(old, new)
        patch.setattr(module, name, RangeStatement(changed) if isinstance(original, RangeStatement) else changed)

    return spoil


def function(signature: str, old: str, new: str) -> Spoil:
    """Change a function in the database."""

    async def spoil(world: World, _: pytest.MonkeyPatch) -> None:
        definition = await world.db.fetchval("SELECT pg_get_functiondef($1::regprocedure)", signature)
        assert old in definition, f"{signature} no longer has {old!r}"
        await world.db.execute(definition.replace(old, new))

    return spoil


def several(*spoils: Spoil) -> Spoil:
    async def spoil(world: World, patch: pytest.MonkeyPatch) -> None:
        for one in spoils:
            await one(world, patch)

    return spoil


async def read_a_copy(world: World, patch: pytest.MonkeyPatch) -> None:
    """Decide on what was read when the switch was flipped, as whoever loops over a list of users does."""
    await world.db.execute("CREATE TABLE public.copy_of_members AS SELECT * FROM directory.member WITH NO DATA")
    await world.db.execute("GRANT ALL ON public.copy_of_members TO public")
    await world.db.execute(
        "CREATE FUNCTION public.copy() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.copy_of_members SELECT * FROM directory.member; RETURN NULL; END $$;"
        "CREATE TRIGGER copy AFTER INSERT ON portcullis.run FOR EACH ROW EXECUTE FUNCTION public.copy()"
    )
    await statement(runs, "ENFORCE", "FROM directory.member m", "FROM public.copy_of_members m")(world, patch)


async def another_message_id_each_time(world: World, _: pytest.MonkeyPatch) -> None:
    mail = world.resources.mail
    assert mail is not None
    composer = Composer(mail_from=SENDER, app_url="https://app.example.com", message_id_key=b"x" * 32, message_id_key_id="k1")
    world.resources = replace(world.resources, mail=replace(mail, composer=composer))


async def options_are_allowed(_: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Screening, "_objection", lambda *_: None)


# Stories.


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    organization: Organization
    unprotected: Member
    late: Member
    protected: Member
    sso: Member
    mixed: Member
    stranger: Member

    @classmethod
    async def enters(cls, world: World) -> "Cast":
        organization, other = await an_organization(world.db), await an_organization(world.db, name="Other")
        return cls(
            organization=organization,
            unprotected=await a_member(world.db, organization.id),
            late=await a_member(world.db, organization.id),
            protected=await a_member(world.db, organization.id, factor=True),
            sso=await a_member(world.db, organization.id, password=False, sso=True, sessions=["sso", "token"]),
            mixed=await a_member(world.db, organization.id, sso=True, sessions=["sso", "password"]),
            stranger=await a_member(world.db, other.id),
        )


async def to_the_end(world: World, run: int) -> None:
    """Go on to the end, if the mutant lets it."""
    with suppress(AssertionError):
        await world.run_to_end(run)


async def plain_run(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    await to_the_end(world, await world.require(cast.organization))
    return ()


async def somebody_enrols_before_the_batch(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enrol(cast.late)
    await to_the_end(world, run)
    return ()


async def somebody_enrols_before_the_letter(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    await world.enrol(cast.late)
    await to_the_end(world, run)
    return ()


async def somebody_joins_after_the_batch(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    await world.change("SELECT app.join_organization($1, $2)", cast.organization.id, cast.stranger.id)
    await to_the_end(world, run)
    return ()


async def mailer_is_killed(world: World) -> Iterable[str]:
    """It had marked its letters and sent none."""
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    claim = await world.claim(hint)
    await deliveries.mark(world.pool, claim, limit=100, members=None, lease=world.resources.lease)
    world.history.mailer_crashes += 1
    await world.let_leases_end()
    await to_the_end(world, run)
    return ()


async def lifted_under_a_worker(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.step("plan_run")
    claim = await _claimed(world, "enforce_batch")
    await world.lift(cast.organization)
    with suppress(Obsolete):
        await enforce(world.resources, claim)
    await to_the_end(world, run)
    return ()


async def cancelled_before_its_letters(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    await world.cancel(run)
    await world.hand_over(hint)
    await to_the_end(world, run)
    return ()


async def hint_arrives_twice_at_once(world: World) -> Iterable[str]:
    """Two mailers have it, and the relay is slow."""
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    world.relay.delay_seconds = 0.2
    async with a_mailroom(world.pool, "redis://127.0.0.1:1", world.relay) as mail:
        other = replace(world.resources, mail=mail, holder="another mailer")
        first = asyncio.create_task(world.hand_over(hint))
        await world.until(lambda: world.db.fetchval("SELECT sum(sending) > 0 FROM portcullis.batch"), answer=True)
        await asyncio.gather(first, world.hand_over(hint, resources=other))
    world.relay.delay_seconds = 0
    await to_the_end(world, run)
    return ()


async def finish_comes_early(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.enforce_all(run)
    (batch,) = await world.batches(run, "finish")
    claim = await batches.claim(
        world.pool,
        run_id=run,
        batch_id=batch["batch_id"],
        token=batch["token"],
        stages=(batches.Stage.FINISH,),
        lease=world.resources.lease,
        holder="early",
    )
    assert claim is not None
    if not await runs.finish(world.pool, claim, await world.status(run)):
        await batches.release(world.pool, claim, seconds=0, is_attempt=False)
        await to_the_end(world, run)
    return ()


async def letters_after_sessions(world: World) -> Iterable[str]:
    """The barrier of the design: no letter leaves while a batch to enforce is open."""
    cast = await Cast.enters(world)
    run = await world.require(cast.organization)
    await world.step("plan_run")
    await world.db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, urgency, low, high) SELECT run_id, 'enforce', 1, $2, $2 FROM portcullis.run"
        " WHERE run_id = $1",
        *(run, cast.unprotected.id),
    )
    first = next(hint for hint in await world.look() if hint.actor == "enforce_batch")
    await world.hand_over(first)
    early = [hint for hint in await world.look() if hint.actor == "notify_batch"]
    await to_the_end(world, run)
    return [f"mail before revoke: {len(early)} batches of letters were due while sessions were open"] if early else []


async def request_is_replayed(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    request = Request(
        organization_id=cast.organization.id,
        requested_by=cast.organization.admin.id,
        reason="by message",
        request_id=uuid4(),
        expires_at=datetime.now(UTC) + timedelta(minutes=5),
    )
    await world.checker.look(world.history)
    await trigger(world.resources, request)
    await world.lift(cast.organization)
    await trigger(world.resources, request)
    opened = await world.db.fetchval("SELECT count(*) FROM portcullis.run WHERE reason = 'by message'")
    return [f"I8: one request opened {opened} runs"] if opened != 1 else []


async def gate_is_asked(world: World) -> Iterable[str]:
    cast = await Cast.enters(world)
    await world.require(cast.organization)
    rows = await world.db.fetch(
        "SELECT *, portcullis.gate(user_id, organization_id, 'password') AS answer FROM directory.member WHERE organization_id = $1",
        cast.organization.id,
    )
    wrong = [row["user_id"] for row in rows if (row["answer"] == "none") != (verdict_of(row) == "protected")]
    return [f"I3: the gate lets member {member} pass" for member in wrong]


async def message_is_forged(world: World) -> Iterable[str]:
    """Rightly signed, with a callback of dramatiq's."""
    encoder = SignedEncoder(KeyRing.parse("k1:" + "A" * 43 + "="))
    fields = {"queue_name": "enforce", "actor_name": "enforce_batch", "args": [], "kwargs": {}, "message_id": "1", "message_timestamp": 1}
    data = encoder.encode({**fields, "options": {"on_success": {"actor_name": "enforce"}}})
    actor: Any = type("Actor", (), {"queue_name": "enforce"})()
    screening = Screening(encoder=encoder, actors={"enforce_batch": actor}, allowed=frozenset({"enforce_batch"}))
    with suppress(RejectedError):
        screening.admit(data, "enforce")
        return ["I12: a message that starts another actor was let through"]
    return []


async def _claimed(world: World, actor: str) -> Claim:
    return await world.claim(next(hint for hint in await world.look() if hint.actor == actor))


WANTED = "AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)"
HELD = f"WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'\n      {WANTED}"
UNCHECKED = "WHERE b.batch_id = $1 AND $2::bigint IS NOT NULL"

MUTANTS = [
    Mutant(
        name="revokes everybody, enrolled or not (Bitwarden 5241)",
        breaks="I1",
        spoil=statement(runs, "ENFORCE", "FROM judged j WHERE j.verdict = 'unprotected')", "FROM judged j)"),
        story=plain_run,
    ),
    Mutant(
        name="takes SSO users for password users (PostHog 36834)",
        breaks="I1",
        spoil=statement(runs, "ENFORCE", "m.has_sso", "false"),
        story=plain_run,
    ),
    Mutant(
        name="ends SSO-born sessions too",
        breaks="I1",
        spoil=statement(runs, "ENFORCE", "verdict = 'unprotected'), true) e", "verdict = 'unprotected'), false) e"),
        story=plain_run,
    ),
    Mutant(name="stale read: decides on a list made at the switch", breaks="I1", spoil=read_a_copy, story=somebody_enrols_before_the_batch),
    Mutant(
        name="the SSO exemption follows the account (Vaultwarden 6780)",
        breaks="I2",
        spoil=function(
            "portcullis.verdict(boolean,boolean,boolean,boolean,text,text[])",
            "NOT coalesce(has_password, true) AND coalesce(has_sso, false)",
            "coalesce(has_sso, false)",
        ),
        story=plain_run,
    ),
    Mutant(
        name="an SSO account passes with its password (Vaultwarden 6780)",
        breaks="I3",
        spoil=function("portcullis.session_requirement(text,text)", "verdict = 'sso'", "false"),
        story=gate_is_asked,
    ),
    Mutant(
        name="whoever joins meanwhile is forgotten (GitLab 514204)",
        breaks="I2",
        spoil=statement(runs, "FIND_UNFINISHED", "WHERE m.organization_id", "WHERE false AND m.organization_id"),
        story=somebody_joins_after_the_batch,
    ),
    Mutant(
        name="mail before revoke (Vaultwarden)",
        breaks="mail before revoke",
        spoil=statement(hints, "HINT", "o.stage <> 'notice'", "true"),
        story=letters_after_sessions,
    ),
    Mutant(
        name="a crash between mark and send loses the mail (Sentry)",
        breaks="I4",
        spoil=statement(deliveries, "RECLAIM", "SET state = h.state,", "SET state = 'accepted',"),
        story=mailer_is_killed,
    ),
    Mutant(
        name="off does not stop it (Sentry)",
        breaks="I19",
        spoil=statement(runs, "ENFORCE", HELD, UNCHECKED),
        story=lifted_under_a_worker,
    ),
    Mutant(
        name="letters of a cancelled run leave all the same",
        breaks="I8",
        spoil=several(
            statement(batches, "CLAIM", WANTED.removeprefix("AND "), "true"),
            statement(batches, "CLAIM", "AND b.state = 'open'", ""),
            statement(deliveries, "MARK", HELD, UNCHECKED),
            function("portcullis.stop_run(bigint,text)", "owed = 0, deferred = 0", "owed = b.owed"),
        ),
        story=cancelled_before_its_letters,
    ),
    Mutant(
        name="claims without a token",
        breaks="I4",
        spoil=several(
            statement(batches, "CLAIM", "token = b.token + 1", "token = b.token"),
            statement(batches, "CLAIM", "AND (b.leased_until IS NULL OR b.leased_until < now())", ""),
        ),
        story=hint_arrives_twice_at_once,
    ),
    Mutant(
        name="the letter is the one of yesterday's verdict (Bitwarden 5933)",
        breaks="I18",
        spoil=statement(deliveries, "MARK", "ELSE j.letter_now END", "ELSE coalesce(d.letter, portcullis.letter_for(d.verdict)) END"),
        story=somebody_enrols_before_the_letter,
    ),
    Mutant(
        name="the wrong template (Bitwarden 5233)",
        breaks="I18",
        spoil=function("portcullis.letter_for(text)", "WHEN 'protected' THEN 'protected'", "WHEN 'protected' THEN 'signed_out'"),
        story=plain_run,
    ),
    Mutant(
        name="judges other organizations' members",
        breaks="I7",
        spoil=statement(runs, "ENFORCE", "AND m.organization_id = $4::portcullis.organization_id\n", "\n"),
        story=plain_run,
    ),
    Mutant(
        name="counters drift",
        breaks="I6",
        spoil=statement(deliveries, "RECORD", "accepted = b.accepted + c.accepted", "accepted = b.accepted + 1"),
        story=plain_run,
    ),
    Mutant(
        name="ended sessions are not written down",
        breaks="I6",
        spoil=statement(runs, "ENFORCE", "coalesce(e.ended, 0)::integer", "0"),
        story=plain_run,
    ),
    Mutant(
        name="done although something is open",
        breaks="I6",
        spoil=statement(runs, "FINISH", "WHERE o.run_id = r.run_id AND o.state IN", "WHERE false AND o.state IN"),
        story=finish_comes_early,
    ),
    Mutant(name="a Message-ID that nobody can tell", breaks="I4", spoil=another_message_id_each_time, story=plain_run),
    Mutant(
        name="a replayed request switches on again",
        breaks="I8",
        spoil=statement(requests, "CONSUME", "ON CONFLICT DO NOTHING", "ON CONFLICT (request_id) DO UPDATE SET consumed_at = now()"),
        story=request_is_replayed,
    ),
    Mutant(
        name="a batch leaves no entry in the audit",
        breaks="I15",
        spoil=statement(runs, "ENFORCE", "    FROM record r\n", "    FROM record r WHERE false\n"),
        story=plain_run,
    ),
    Mutant(
        name="the audit says that no session was ended",
        breaks="I15",
        spoil=statement(runs, "ENFORCE", "int4send(sessions_ended)", "int4send(0)"),
        story=plain_run,
    ),
    Mutant(
        name="the end of a run leaves no entry",
        breaks="I15",
        spoil=function("portcullis.audit_run()", "'finished'", "'almost'"),
        story=plain_run,
    ),
    Mutant(name="callbacks left on: a forged on_success", breaks="I12", spoil=options_are_allowed, story=message_is_forged),
]
EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


async def found(world: World, story: Story) -> set[str]:
    told = [*await story(world), *await world.violations()]
    return {line[: line.index(":")] for line in told}


@EACH
async def test_the_mutant_is_caught(mutant: Mutant, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_world(database_url, redis_url) as world:
        await mutant.spoil(world, monkeypatch)
        assert mutant.breaks in await found(world, mutant.story)


@pytest.mark.parametrize("story", sorted({mutant.story.__name__ for mutant in MUTANTS}))
async def test_without_a_mutant_its_story_is_clean(story: str, database_url: str, redis_url: str) -> None:
    told: Story = globals()[story]
    async with a_world(database_url, redis_url) as world:
        assert await found(world, told) == set()
