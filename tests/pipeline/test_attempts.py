"""Every attempt that was not accepted is kept: by whom, under which token, the relay's words; and nothing where all goes well."""

from typing import Any

import pytest

from jobs.store.views import members as views
from jobs.store.views.members import Attempt
from tests.builders import Member, Organization, an_organization
from tests.pipeline.test_erasure import erase, leave
from tests.pipeline.test_notify import enforced, killed_when
from tests.pipeline.world import World
from tests.relay import Act, Rule, Stage


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


async def tried(world: World, organization: Organization, member: Member) -> list[Attempt]:
    """Return attempts at the member's notice."""
    [letter] = await views.list_letters(world.db, member.id, [str(organization.id)])
    return letter.tried


async def kept(world: World) -> Any:
    return await world.db.fetchval("SELECT count(*) FROM portcullis.attempt")


async def test_where_all_goes_well_nothing_is_kept(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    await world.run_to_end(run)
    assert await kept(world) == 0


async def test_each_attempt_in_vain_is_kept_in_its_order_with_who_made_it(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    slow, other = organization.members[:2]
    assert slow.email
    world.relay.rules += [
        Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted", recipient=slow.email, times=2),
        Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient=slow.email, times=1),
    ]
    await world.run_to_end(run)
    assert (await world.letter(run, slow))["state"] == "accepted"
    attempts = await tried(world, organization, slow)
    assert [(one.number, one.outcome) for one in attempts] == [(1, "deferred"), (2, "deferred"), (3, "in_doubt")]
    assert attempts[0].reason == "rcpt 450 4.2.0 greylisted"
    assert {one.relay for one in attempts} == {f"127.0.0.1:{world.relay.port}"}
    assert {one.holder for one in attempts} == {world.resources.holder}
    tokens = [one.token for one in attempts if one.token is not None]
    assert tokens == sorted(set(tokens))
    assert len(tokens) == len(attempts), "each under a claim of its own"
    assert await tried(world, organization, other) == []


async def test_refused_and_given_back_are_told_apart(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    gone, other = organization.members[:2]
    assert gone.email
    assert other.email
    world.relay.rules += [
        Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", recipient=gone.email),
        Rule(stage=Stage.DOT, reply="454 4.7.0 throttled", recipient=other.email, times=1),
    ]
    await world.run_to_end(run)
    assert [one.outcome for one in await tried(world, organization, gone)] == ["refused"]
    assert [(one.outcome, one.reason) for one in await tried(world, organization, other)] == [("given_back", "dot 454 4.7.0 throttled")]
    assert (await world.letter(run, other))["attempts"] == 0, "nobody's attempt by the ladder"


async def test_what_a_killed_mailer_had_on_its_way_is_lost(world: World, organization: Organization) -> None:
    run, hint = await enforced(world, organization)
    await killed_when(world, hint, lambda: len(world.relay.accepted) == 3)
    await world.let_leases_end()
    await world.run_to_end(run)
    for member in organization.members:
        assert [(one.outcome, one.holder) for one in await tried(world, organization, member)] == [("lost", None)]
        assert len(world.kinds(member)) == 2, "that is why it came twice"


async def test_only_the_latest_of_very_many_are_shown(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    member = organization.members[0]
    batch = (await world.letter(run, member))["batch_id"]
    await world.db.execute(
        "INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome)"
        " SELECT $1, 'notice', $2, $3, 'given_back' FROM generate_series(1, 100)",
        *(run, member.id, batch),
    )
    assert [one.number for one in await tried(world, organization, member)] == list(range(71, 101))


async def test_who_is_erased_leaves_no_attempt_and_others_keep_theirs(world: World, organization: Organization) -> None:
    run, _ = await enforced(world, organization)
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user", recipient="*", times=2))
    await world.run_to_end(run)
    assert await kept(world) == 2
    [gone, stays] = await world.db.fetch("SELECT member_id FROM portcullis.attempt ORDER BY 1")
    member = next(one for one in organization.members if one.id == gone["member_id"])
    await leave(world, member)
    await erase(world, member)
    assert await world.db.fetch("SELECT member_id FROM portcullis.attempt") == [stays]
