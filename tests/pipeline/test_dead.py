"""Dead batches: alike ones are one group, a replay does nothing twice, and what is given up is counted, named and never sent."""

import asyncio
from collections.abc import Sequence

import pytest

from jobs.store import deliveries, hints, steering
from jobs.store.batches import MAX_ATTEMPTS
from jobs.store.steering import Order, Refused, Selection, Stale, Unknown
from tests.builders import Organization, an_organization
from tests.pipeline.world import World
from tests.relay import Act, Rule, Stage

ORDER = Order(actor="ines", via="console", reason="the view is mended")
MOST = 1_000


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def bury(world: World, *stages: str, error: str = "view is broken") -> list[int]:
    """Let open batches of these stages have failed too often, and put them aside as the conductor does once a second."""
    await world.db.execute(
        "UPDATE portcullis.batch SET attempts = $2, error = $3 WHERE stage = ANY ($1) AND state = 'open'", stages, MAX_ATTEMPTS, error
    )
    return [buried.batch_id for buried in await hints.bury(world.pool)]


async def enforced(world: World, organization: Organization) -> int:
    run = await world.require(organization)
    await world.enforce_all(run)
    return run


async def states(world: World, run: int, organization: Organization) -> list[tuple[str, str | None]]:
    letters = [await world.letter(run, member) for member in organization.members]
    return [(letter["state"], letter["reason"]) for letter in letters]


@pytest.mark.parametrize(
    "error",
    [
        "UndefinedColumnError: column m.locale of user 17 does not exist",
        "UndefinedColumnError:  column m.locale of user 4711 does not exist",
        "undefinedcolumnerror: column m.locale of user 0b1c9a52-3c1d-4a52-9c0f-3a1c0e9d7f11 does not exist",
        "replayed (again (and again) after: lunch) after: UndefinedColumnError: column m.locale of user 17 does not exist",
    ],
)
async def test_what_died_of_one_cause_has_one_fingerprint(world: World, error: str) -> None:
    first = "UndefinedColumnError: column m.locale of user 1 does not exist"
    prints = await world.db.fetchrow(
        "SELECT portcullis.fingerprint('enforce', $1) AS one, portcullis.fingerprint('enforce', $2) AS two,"
        " portcullis.fingerprint('notice', $2) AS elsewhere",
        *(first, error),
    )
    assert prints["one"] == prints["two"] != prints["elsewhere"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the relay refuses the letter: data 550 5.7.1 <ada@example.com> denied", "the relay refuses the letter: data 550 5.7.1 denied"),
        ("column m.locale does not exist", "column m.kind does not exist"),
        (None, "column m.kind does not exist"),
    ],
    ids=["words", "columns", "nothing"],
)
async def test_what_died_of_two_causes_has_two(world: World, one: str | None, other: str) -> None:
    assert await world.db.fetchval("SELECT portcullis.fingerprint('notice', $1) <> portcullis.fingerprint('notice', $2)", one, other)
    assert len(await world.db.fetchval("SELECT portcullis.fingerprint('notice', $1)", one)) == 12


async def test_groups_count_what_is_alike_and_show_the_latest(world: World, organization: Organization) -> None:
    other = await an_organization(world.db, members=1)
    await enforced(world, organization)
    await enforced(world, other)
    first = await bury(world, "notice", error="the view is broken at row 1")
    await world.require(await an_organization(world.db))
    [plan] = await bury(world, "plan", error="the view is broken at row 2")
    groups = await steering.list_dead_groups(world.pool)
    assert {(group.stage, group.batches, group.runs, group.letters, group.can_discard) for group in groups} == {
        ("notice", 4, 2, 6, True),
        ("plan", 1, 1, 0, False),
    }
    [notices] = [group for group in groups if group.stage == "notice"]
    assert (notices.batch_id, notices.error) == (max(first), "the view is broken at row 1")
    whole = await steering.show_dead(world.pool, max(first))
    assert (whole.fingerprint, whole.alike, whole.owed, whole.is_wanted) == (notices.fingerprint, 4, 1, True)
    assert not (await steering.show_dead(world.pool, plan)).can_discard
    await world.replay_all()
    with pytest.raises(Stale, match=f"Batch {plan} .* is open, not dead"):
        await steering.show_dead(world.pool, plan)
    with pytest.raises(Unknown):
        await steering.show_dead(world.pool, 99_999)


async def chosen(world: World, how: str, run: int, dead: Sequence[int]) -> Selection:
    match how:
        case "batch":
            return Selection(batch_id=dead[0])
        case "fingerprint":
            return Selection(fingerprint=(await steering.show_dead(world.pool, dead[0])).fingerprint)
        case "run":
            return Selection(run_id=run)
        case _:
            return Selection(everything=True)


@pytest.mark.parametrize("how", ["batch", "fingerprint", "run", "everything"])
async def test_a_replay_is_counted_first_and_nothing_is_sent_twice(world: World, organization: Organization, how: str) -> None:
    world.relay.rules = [
        Rule(stage=Stage.RCPT, act=Act.REPLY, reply="450 4.2.0 later", recipient=str(organization.members[0].email), times=1)
    ]
    run = await enforced(world, organization)
    await world.step("notify_batch")
    sent = len(world.relay.accepted)
    assert sent == 3
    dead = await bury(world, "notice", "deferred")
    selection = await chosen(world, how, run, dead)
    tally = await steering.count(world.pool, selection)
    assert (tally.batches, tally.runs, tally.letters, tally.replayable, tally.discardable) == (1, 1, 1, 1, 1)
    assert await steering.replay(world.pool, ORDER, selection, most=MOST) == dead
    await world.run_to_end(run)
    await world.step_until(world.nothing_open)
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3
    with pytest.raises(Stale):
        await steering.replay(world.pool, ORDER, selection, most=MOST)
    [action] = await steering.list_actions(world.pool)
    assert (action.verb, action.details, action.run_id) == (
        "replay",
        {"batches": 1, "which": dead},
        run if how in {"batch", "run"} else None,
    )


async def test_a_letter_in_doubt_is_replayed_with_the_same_id(world: World, organization: Organization) -> None:
    run = await enforced(world, organization)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    claim = await world.claim(hint)
    await deliveries.mark(world.pool, claim, limit=1, members=[organization.members[0].id], lease=world.resources.lease)
    await world.let_leases_end()
    await bury(world, "notice")
    await steering.replay(world.pool, ORDER, Selection(run_id=run), most=MOST)
    before = (await world.letter(run, organization.members[0]))["first_tried_at"]
    await world.run_to_end(run)
    assert (await world.letter(run, organization.members[0]))["first_tried_at"] == before
    assert [world.kinds(member) for member in organization.members] == [["signed_out"]] * 3


async def test_an_order_takes_the_oldest_and_at_most_so_many(world: World) -> None:
    for _ in range(3):
        await world.require(await an_organization(world.db))
    dead = sorted(await bury(world, "plan"))
    assert await steering.replay(world.pool, ORDER, Selection(everything=True), most=2) == dead[:2]
    assert (await steering.count(world.pool, Selection(everything=True))).batches == 1
    assert await steering.replay(world.pool, ORDER, Selection(everything=True), most=2) == dead[2:]


@pytest.mark.parametrize("order", [steering.replay, steering.discard])
async def test_of_two_who_act_on_the_same_batches_at_once_one_acts(world: World, organization: Organization, order) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 -- either order
    run = await enforced(world, organization)
    dead = await bury(world, "notice")
    acted = await asyncio.gather(*(order(world.pool, ORDER, Selection(run_id=run), most=MOST) for _ in range(4)), return_exceptions=True)
    assert [one for one in acted if isinstance(one, list)] == [sorted(dead)]
    assert all(isinstance(one, Stale) for one in acted if not isinstance(one, list))
    assert len(await steering.list_actions(world.pool)) == 1
    await world.run_to_end(run)


async def test_what_is_given_up_is_counted_named_and_never_sent(world: World, organization: Organization) -> None:
    run = await enforced(world, organization)
    await bury(world, "notice")
    discarded = await steering.discard(world.pool, ORDER, Selection(run_id=run), most=MOST)
    status = await world.run_to_end(run)
    assert (status["state"], status["members"], status["sessions_ended"]) == ("done", 4, 3)
    assert {name: count for name, count in status["letters"].items() if count} == {"cancelled": 4}
    assert await states(world, run, organization) == [("cancelled", "discarded")] * 3
    assert [letter.kind for letter in world.relay.accepted] == ["report"]
    totals = (await world.db.fetchval("SELECT totals::text FROM portcullis.run WHERE run_id = $1", run)) or ""
    assert totals.count('"reason": "discarded"') == 4
    [action] = await steering.list_actions(world.pool, run_id=run)
    assert (action.verb, action.details) == ("discard", {"batches": 2, "which": discarded, "letters": 4})
    with pytest.raises(Stale, match="no dead batch"):
        await steering.replay(world.pool, ORDER, Selection(run_id=run), most=MOST)


async def test_a_letter_that_may_have_left_is_not_said_to_be_given_up(world: World, organization: Organization) -> None:
    run = await enforced(world, organization)
    hint = next(hint for hint in await world.look() if hint.actor == "notify_batch")
    claim = await world.claim(hint)
    await deliveries.mark(world.pool, claim, limit=1, members=[organization.members[0].id], lease=world.resources.lease)
    await world.let_leases_end()
    await bury(world, "notice")
    await steering.discard(world.pool, ORDER, Selection(batch_id=hint.batch), most=MOST)
    await world.replay(run)
    status = await world.run_to_end(run)
    assert await states(world, run, organization) == [("uncertain", None), ("cancelled", "discarded"), ("cancelled", "discarded")]
    assert {name: count for name, count in status["letters"].items() if count} == {"accepted": 1, "uncertain": 1, "cancelled": 2}


@pytest.mark.parametrize("stage", ["plan", "enforce", "finish"])
async def test_what_members_may_still_be_signed_in_for_is_not_given_up(world: World, organization: Organization, stage: str) -> None:
    run = await world.require(organization)
    if stage == "enforce":
        await world.step("plan_run")
    dead = await bury(world, stage)
    for selection in (Selection(batch_id=dead[0]), Selection(run_id=run), Selection(everything=True)):
        with pytest.raises(Refused, match="not for letters: members may still be signed in"):
            await steering.discard(world.pool, ORDER, selection, most=MOST)
    assert await world.state(run) == "running"
    assert await steering.list_actions(world.pool) == []
    await steering.replay(world.pool, ORDER, Selection(run_id=run), most=MOST)
    assert (await world.run_to_end(run))["sessions_ended"] == 3


async def test_of_everything_only_letters_are_given_up(world: World, organization: Organization) -> None:
    run = await enforced(world, organization)
    other = await world.require(await an_organization(world.db, members=1))
    letters, [plan] = await bury(world, "notice"), await bury(world, "plan")
    tally = await steering.count(world.pool, Selection(everything=True))
    assert (tally.batches, tally.discardable, tally.replayable) == (3, 2, 3)
    assert await steering.discard(world.pool, ORDER, Selection(everything=True), most=MOST) == sorted(letters)
    assert (await steering.show_dead(world.pool, plan)).run_id == other
    await world.replay(other)
    for one in (run, other):
        assert (await world.run_to_end(one))["state"] == "done"


async def test_a_report_and_deferred_letters_are_given_up_after_the_run_is_done(world: World, organization: Organization) -> None:
    world.relay.rules = [Rule(stage=Stage.RCPT, reply="450 4.2.0 later", recipient=str(organization.members[0].email))]
    run = await enforced(world, organization)
    await world.step_until(lambda: is_done(world, run))
    await bury(world, "report", "deferred")
    assert len(await steering.discard(world.pool, ORDER, Selection(run_id=run), most=MOST)) == 2
    await world.step_until(world.nothing_open)
    assert (await states(world, run, organization))[0] == ("cancelled", "discarded")
    assert (await world.letter(run, organization.admin, "report"))["state"] == "cancelled"
    assert world.kinds(organization.admin) == ["protected"]


async def is_done(world: World, run: int) -> bool:
    return await world.state(run) == "done"
