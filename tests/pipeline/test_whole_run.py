"""A run from the switch to the report, over people of every kind."""

from collections import Counter

import pytest

from jobs.stages import plan
from tests.builders import a_member, a_session, an_organization
from tests.pipeline.world import World


async def test_everybody_is_treated_as_the_table_says(world: World) -> None:
    organization = await an_organization(world.db)
    password = await a_member(world.db, organization.id, sessions=["password", "remember_me", None, "token"])
    mixed = await a_member(world.db, organization.id, sso=True, sessions=["password", "sso"])
    started = await a_member(world.db, organization.id, factor="started")
    neither = await a_member(world.db, organization.id, password=False, sessions=["token"])
    protected = await a_member(world.db, organization.id, factor=True)
    sso = await a_member(world.db, organization.id, password=False, sso=True, sessions=["sso"])
    service = await a_member(world.db, organization.id, kind="service", sessions=["token"])
    inactive = await a_member(world.db, organization.id, active=False)

    run = await world.require(organization, exempt_kinds=["service"])
    status = await world.run_to_end(run)

    assert status["state"] == "done"
    assert status["verdicts"] == {"unprotected": 4, "protected": 2, "sso": 1, "exempt": 1, "inactive": 1}
    assert (status["members"], status["sessions_ended"]) == (9, 7)
    assert await world.live(password, mixed, started, neither) == [mixed.sessions[1]]
    untouched = [organization.admin, protected, sso, service, inactive]
    assert await world.live(*untouched) == sorted(session for member in untouched for session in member.sessions)
    kinds = [world.kinds(member) for member in (password, mixed, started, neither, protected, sso, service, inactive)]
    assert kinds == [["signed_out"]] * 4 + [["protected"], ["single_sign_on"], ["exempt"], []]
    assert world.kinds(organization.admin) == ["protected", "report"]
    assert status["letters"] == Counter(accepted=8, suppressed=1) | dict.fromkeys(
        ["owed", "sending", "deferred", "refused", "uncertain", "cancelled"], 0
    )


async def test_an_organization_of_nobody_but_its_admin_is_done(world: World) -> None:
    organization = await an_organization(world.db)
    status = await world.run_to_end(await world.require(organization))
    assert (status["state"], status["members"], status["letters"]["accepted"]) == ("done", 1, 1)


async def test_ranges_cover_everybody_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RANGE", 3)
    organization = await an_organization(world.db, members=31)
    run = await world.require(organization)
    status = await world.run_to_end(run)
    enforced = await world.batches(run, "enforce")
    assert [batch["members"] for batch in enforced] == [3] * 10 + [2]
    assert (status["members"], status["sessions_ended"], status["letters"]["accepted"]) == (32, 31, 32)


async def test_whoever_was_logged_out_hears_first(world: World) -> None:
    organization = await an_organization(world.db)
    await a_member(world.db, organization.id, factor=True)
    unprotected = await a_member(world.db, organization.id)
    await world.run_to_end(await world.require(organization))
    assert world.relay.accepted[0].recipient == unprotected.email


@pytest.mark.survives("a member of two organizations", "I1 I7")
async def test_a_session_of_another_organization_is_left_alone(world: World) -> None:
    ours, theirs = await an_organization(world.db), await an_organization(world.db, name="Other")
    both = await a_member(world.db, ours.id, sessions=[])
    await world.db.execute("SELECT app.join_organization($1, $2)", theirs.id, both.id)
    here = await a_session(world.db, both.id, organization=ours.id)
    there = await a_session(world.db, both.id, organization=theirs.id)
    await a_session(world.db, both.id)
    await world.run_to_end(await world.require(ours))
    assert await world.live(both) == [there]
    assert here not in await world.live(both)
