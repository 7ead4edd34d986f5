"""A grace for whoever joins: time, then no more; the shortest wins."""

from datetime import timedelta

from jobs import client
from tests.builders import a_member, an_organization
from tests.integration.policy_parts import DAY, HOUR, NONE, SET_UP, Scene

pytest_plugins = ["tests.integration.policy_fixtures"]


# A grace for joiners


async def test_a_joiner_has_time_and_then_no_more(scene: Scene) -> None:
    run = await scene.require(grace=3 * DAY)
    joiner = await scene.join()
    forgotten = await scene.join(tells=False)
    assert (await scene.gate(joiner), await scene.gate(forgotten)) == (NONE, SET_UP), "without being told of there is none"
    await scene.work()
    assert (await client.run_status(scene.db, run)).state == "done", "somebody within their grace doesn't hold the run"
    assert (await scene.live(joiner), await scene.live(forgotten)) == (1, 0)
    assert joiner.id not in await scene.ledger("notice")
    deadline = await client.second_factor_deadline(scene.db, joiner.id)
    assert deadline is not None
    assert timedelta(0) < await scene.in_time(3 * DAY) - deadline < HOUR
    await scene.turn_clock(3 * DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_who_was_there_at_the_switch_is_no_joiner(scene: Scene) -> None:
    await scene.require(grace=3 * DAY)
    assert await scene.gate(scene.organization.members[0]) == SET_UP


async def test_leaving_and_coming_back_renews_nothing(scene: Scene) -> None:
    await scene.require(grace=3 * DAY)
    joiner = await scene.join()
    first = await client.member_joined(scene.db, scene.organization.id, joiner.id)
    await scene.turn_clock(4 * DAY)
    await scene.db.execute("SELECT app.leave_organization($1, $2)", scene.organization.id, joiner.id)
    assert await scene.gate(joiner) == NONE, "leaving lifts the requirement at once"
    await scene.db.execute("SELECT app.join_organization($1, $2)", scene.organization.id, joiner.id)
    again = await client.member_joined(scene.db, scene.organization.id, joiner.id)
    assert first is not None
    assert again == first - 4 * DAY
    assert await scene.gate(joiner) == SET_UP


async def test_where_nothing_is_required_joining_grants_nothing(scene: Scene) -> None:
    joiner = await scene.join()
    assert await client.member_joined(scene.db, scene.organization.id, joiner.id) is None
    await scene.require(grace=3 * DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_a_joiner_before_the_date_has_until_whichever_is_later(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(DAY), grace=3 * DAY)
    joiner = await scene.join()
    await scene.turn_clock(2 * DAY)
    assert (await scene.gate(joiner), await scene.gate(scene.organization.members[0])) == (NONE, SET_UP)
    await scene.work()
    assert await scene.live(joiner) == 1
    await scene.turn_clock(DAY)
    assert await scene.gate(joiner) == SET_UP


async def test_a_shorter_grace_holds_at_once_and_a_longer_one_gives_nothing_back(scene: Scene) -> None:
    await scene.require(grace=10 * DAY)
    early = await scene.join()
    await scene.turn_clock(5 * DAY)
    late = await scene.join()
    await scene.change(grace=3 * DAY)
    assert (await scene.gate(early), await scene.gate(late)) == (SET_UP, NONE)
    await scene.change(grace=20 * DAY)
    assert (await scene.gate(early), await scene.gate(late)) == (SET_UP, NONE), "what has run out has run out"
    await scene.turn_clock(19 * DAY)
    assert await scene.gate(late) == NONE, "who had time left has more of it"
    await scene.change(grace=timedelta(0))
    assert await scene.gate(late) == SET_UP


async def test_joined_without_a_grace_a_later_one_is_not_for_them(scene: Scene) -> None:
    await scene.require()
    joiner = await scene.join()
    await scene.change(grace=30 * DAY)
    assert await scene.gate(joiner) == SET_UP
    assert await scene.gate(await scene.join()) == NONE


async def test_over_several_organizations_the_shortest_wins(scene: Scene) -> None:
    other = await an_organization(scene.db, name="Other")
    await scene.require(grace=10 * DAY)
    soon = await scene.in_time(2 * DAY)
    await client.require_second_factor(scene.db, other.id, requested_by=other.admin.id, reason="audit", effective_at=soon)
    joiner = await scene.join()
    await scene.db.execute("SELECT app.join_organization($1, $2)", other.id, joiner.id)
    assert await client.second_factor_deadline(scene.db, joiner.id) == soon
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == NONE
    await scene.turn_clock(2 * DAY)
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == SET_UP
    assert await client.gate(scene.db, joiner.id, scene.organization.id, started_with="password") == NONE
    await scene.db.execute("SELECT app.leave_organization($1, $2)", other.id, joiner.id)
    assert await client.gate(scene.db, joiner.id, None, started_with="password") == NONE


async def test_a_deadline_is_for_those_alone_whom_it_concerns(scene: Scene) -> None:
    await scene.require(effective_at=await scene.in_time(2 * DAY), exempt_kinds=["client"])
    [member, _] = scene.organization.members
    exempt = await a_member(scene.db, scene.organization.id, kind="client")
    assert await client.second_factor_deadline(scene.db, member.id) is not None
    for nobody in (exempt.id, scene.organization.admin.id):
        assert await client.second_factor_deadline(scene.db, nobody) is None
