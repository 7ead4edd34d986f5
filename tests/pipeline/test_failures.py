"""What did not arrive, grouped by why and where, over a whole run: counted where batches end, and by whatever comes later."""

import asyncpg
import pytest

from jobs.store import bounces, deliveries
from jobs.store.views import runs as views
from tests.builders import Organization, a_member, an_organization
from tests.pipeline.test_erasure import erase, leave
from tests.pipeline.test_notify import enforced
from tests.pipeline.world import World
from tests.relay import Rule, Stage

GONE = "rcpt 550 5.1.1 no such user, see #"


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=4)


async def groups(world: World, run: int, *, looked_into: int = 0) -> list[tuple[str, str | None, str | None, int]]:
    """Return what batches say themselves, without looking into any."""
    rows = await world.db.fetch(views.FAILURES, run, looked_into, views.GROUPS)
    found = [views.Failures(**row) for row in rows]
    assert all(one.example for one in found)
    return [(one.state, one.reason, one.domain, one.letters) for one in found]


async def refusing(world: World, organization: Organization, members: int) -> None:
    for number, member in enumerate(organization.members[:members]):
        assert member.email
        reply = f"550 5.1.1 <{member.email}> no such user, see gsmtp-{number}x"
        world.relay.rules.append(Rule(stage=Stage.RCPT, reply=reply, recipient=member.email))


async def test_where_all_arrive_nothing_is_counted(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    await world.run_to_end(run)
    assert await groups(world, run, looked_into=10) == []
    assert {batch["failures"] for batch in await world.batches(run)} == {None}


async def test_what_was_refused_is_grouped_though_each_letter_s_words_differ(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    await refusing(world, organization, 3)
    await world.run_to_end(run)
    assert await groups(world, run) == [("refused", GONE, "kestrel.example", 3)]
    assert await views.count_left_out(world.pool, run) == 0


async def test_what_is_tried_again_is_among_them_until_it_arrives(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    slow = organization.members[0]
    assert slow.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=slow.email, times=4))
    await world.hand_over(hint)
    assert await groups(world, run) == [("owed", "rcpt 450 4.2.0 greylisted", "kestrel.example", 1)]
    await world.run_to_end(run)
    assert await groups(world, run) == [("deferred", "rcpt 450 4.2.0 greylisted", "kestrel.example", 1)]
    assert [batch["stage"] for batch in await world.batches(run) if batch["failures"]] == ["deferred"]
    await world.step_until(lambda: world.has_none(run, "deferred"))
    assert await groups(world, run) == []


async def test_what_the_relay_refuses_of_us_is_counted_when_the_batch_is_held_back(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    world.relay.rules.append(Rule(stage=Stage.DOT, reply="554 5.7.26 not authenticated"))
    await world.hand_over(hint)
    [(state, reason, _, _)] = await groups(world, run)
    assert (state, reason) == ("owed", "dot 554 5.7.26 not authenticated")


async def test_a_letter_that_came_back_is_counted_and_one_whose_member_was_erased_is_not(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    await world.run_to_end(run)
    first, second = organization.members[:2]
    for member in (first, second):
        assert await bounces.record(world.pool, run, "notice", member.id, "bounced: 5.1.1 unknown", suppresses=True)
    assert await groups(world, run) == [("refused", "bounced: 5.1.1 unknown", "kestrel.example", 2)]
    await leave(world, first)
    await erase(world, first)
    assert await groups(world, run) == [("refused", "bounced: 5.1.1 unknown", "kestrel.example", 1)]


async def test_after_a_cancel_nothing_is_to_be_tried_again(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    slow = organization.members[0]
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=slow.email or ""))
    await world.hand_over(hint)
    assert len(await groups(world, run)) == 1
    await world.cancel(run)
    await world.run_to_end(run)
    assert await groups(world, run, looked_into=10) == []


async def test_of_very_many_reasons_in_one_batch_the_rare_ones_are_summed_up(world: World, organization: Organization) -> None:
    for number in range(25):
        await a_member(world.db, organization.id, email=f"m@d{number}.example")
    run, _ = await enforced(world, organization)
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="550 5.1.1 gone", recipient="*@d*.example"))
    await world.run_to_end(run)
    found = await groups(world, run)
    assert found[0] == ("refused", None, None, 5)
    assert len(found) == 21
    assert sum(letters for *_, letters in found) == 25


async def test_batches_from_before_are_looked_into_the_latest_first(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    await refusing(world, organization, 2)
    await world.run_to_end(run)
    await world.db.execute("UPDATE portcullis.batch SET failures = NULL")
    assert await groups(world, run) == []
    assert await groups(world, run, looked_into=1) == [("refused", GONE, "kestrel.example", 2)]
    await world.db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, state, refused) SELECT $1, 'notice', 'done', 1 FROM generate_series(1, 12)", run
    )
    assert await views.count_left_out(world.pool, run) == 13 - views.LOOKED_INTO
    await world.db.execute("DELETE FROM portcullis.batch WHERE run_id = $1 AND refused = 1 AND low IS NULL AND token = 0", run)


async def test_whoever_claimed_the_batch_meanwhile_counts_it(world: World, organization: Organization, db: asyncpg.Connection) -> None:
    run, hint = await enforced(world, organization)
    await refusing(world, organization, 1)
    await world.hand_over(hint)
    batch = next(one for one in await world.batches(run) if one["failures"])
    await db.execute("UPDATE portcullis.batch SET failures = '[]', token = token + 1 WHERE batch_id = $1", batch["batch_id"])
    await deliveries.tally(world.pool, batch["batch_id"], batch["token"])
    assert await db.fetchval("SELECT failures FROM portcullis.batch WHERE batch_id = $1", batch["batch_id"]) == "[]"
