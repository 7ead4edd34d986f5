"""Kinds that are exempted, or no longer."""

from tests.builders import a_member
from tests.integration.policy_parts import DAY, NONE, SET_UP, Scene

pytest_plugins = ["tests.integration.policy_fixtures"]


# Kinds


async def test_a_kind_that_is_no_longer_exempted_is_asked_at_once_and_told_by_a_run_of_its_own(scene: Scene) -> None:
    exempt = await a_member(scene.db, scene.organization.id, kind="client")
    first = await scene.require(exempt_kinds=["client", "service"], grace=5 * DAY)
    await scene.work()
    assert (await scene.gate(exempt), await scene.live(exempt)) == (NONE, 1)
    second = await scene.change(exempt_kinds=["service"])
    assert second != first
    assert await scene.gate(exempt) == SET_UP
    await scene.work()
    assert await scene.live(exempt) == 0
    assert (exempt.email, "set up two-factor authentication") in scene.mail()
    assert await scene.db.fetchval("SELECT grace FROM portcullis.policy") == 5 * DAY, "the other options stay"


async def test_a_kind_that_is_exempted_from_now_on_is_let_in_without_a_new_run(scene: Scene) -> None:
    member = await a_member(scene.db, scene.organization.id, kind="client")
    first = await scene.require()
    await scene.work()
    letters = len(scene.mail())
    assert await scene.gate(member) == SET_UP
    assert await scene.change(exempt_kinds=["client"]) == first
    assert await scene.gate(member) == NONE
    await scene.work()
    assert len(scene.mail()) == letters


async def test_before_the_date_kinds_change_without_a_new_run(scene: Scene) -> None:
    member = await a_member(scene.db, scene.organization.id, kind="client")
    run = await scene.require(effective_at=await scene.in_time(3 * DAY), exempt_kinds=["client"])
    await scene.work()
    assert member.email not in [to for to, _ in scene.mail()]
    assert await scene.change(exempt_kinds=[]) == run
    await scene.turn_clock(2 * DAY)
    await scene.work()
    assert member.email in [to for to, _ in scene.mail()]
    await scene.turn_clock(DAY)
    await scene.work()
    assert await scene.live(member) == 0


async def test_whoever_exempts_their_own_kind_still_has_to_comply(scene: Scene) -> None:
    """The last admin who complies can't be taken out of the requirement: who changes it is one, whatever kind they are."""
    await scene.require()
    await scene.change(exempt_kinds=["employee"])
    verdict = await scene.db.fetchval("SELECT portcullis.complies($1, $2)", scene.organization.id, scene.organization.admin.id)
    assert verdict is True
    assert (
        await scene.db.fetchval(
            "SELECT count(*) FROM portcullis.runs_alone($1, $1, $2)", scene.organization.admin.id, scene.organization.id
        )
        == 1
    )
