"""`enforce.send`: the one message that is more than a hint. Consumed once, or not at all."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from structlog.testing import capture_logs

from jobs.stages.trigger import Request, trigger
from tests.builders import Organization, an_organization
from tests.pipeline.world import World


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=1)


def a_request(organization: Organization, *, request_id: UUID | None = None, lives: float = 600, **given: Any) -> Request:
    facts = {"organization_id": organization.id, "requested_by": organization.admin.id, "reason": "audit"} | given
    return Request(**facts, request_id=request_id or uuid4(), expires_at=datetime.now(UTC) + timedelta(seconds=lives))


async def runs(world: World) -> list[int]:
    return [row["run_id"] for row in await world.db.fetch("SELECT run_id FROM portcullis.run ORDER BY run_id")]


async def test_a_request_opens_a_run_and_is_remembered_with_it(world: World, organization: Organization) -> None:
    request = a_request(organization)
    run = await trigger(world.resources, request)
    assert run is not None
    assert await world.db.fetchval("SELECT run_id FROM portcullis.request WHERE request_id = $1", request.request_id) == run
    await world.checker.look(world.history)
    assert (await world.run_to_end(run))["sessions_ended"] == 1


async def test_ids_may_come_as_their_text(world: World, organization: Organization) -> None:
    request = a_request(organization, organization_id=str(organization.id), requested_by=str(organization.admin.id))
    assert await trigger(world.resources, request) is not None


async def test_delivered_twice_it_opens_one_run(world: World, organization: Organization) -> None:
    request = a_request(organization)
    answers = await asyncio.gather(*[trigger(world.resources, request) for _ in range(5)])
    assert sorted(answer is not None for answer in answers) == [False] * 4 + [True]
    assert len(await runs(world)) == 1


async def test_asked_again_because_the_first_may_be_lost_it_is_the_same_run(world: World, organization: Organization) -> None:
    run = await trigger(world.resources, a_request(organization))
    assert await trigger(world.resources, a_request(organization)) == run
    assert await runs(world) == [run]


@pytest.mark.survives("messages doubled, reordered, replayed", "I8 I19")
async def test_replayed_after_a_lift_it_does_nothing(world: World, organization: Organization) -> None:
    request = a_request(organization)
    await trigger(world.resources, request)
    await world.lift(organization)
    assert await trigger(world.resources, request) is None
    assert await world.db.fetchval("SELECT required FROM portcullis.policy") is False


@pytest.mark.parametrize("lives", [-1, 3 * 3600], ids=["expired", "made to live for hours"])
async def test_a_request_out_of_its_time_does_nothing(world: World, organization: Organization, lives: float) -> None:
    assert await trigger(world.resources, a_request(organization, lives=lives)) is None
    assert await runs(world) == []


@pytest.mark.parametrize(
    "wrong",
    [{"organization_id": 999_999}, {"requested_by": 999_999}, {"organization_id": "no number"}, {"requested_by": True}],
    ids=["unknown organization", "no member", "malformed organization", "malformed admin"],
)
async def test_what_can_not_be_done_is_said_and_not_tried_again(
    world: World, organization: Organization, wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.stages.trigger.log", structlog.get_logger())  # one that no earlier test has bound to its own output
    with capture_logs() as told:
        assert await trigger(world.resources, a_request(organization, **wrong)) is None
    assert await runs(world) == []
    assert [one["event"] for one in told] == ["request_refused"]


async def test_refused_for_an_admin_without_a_factor_it_stays_refused_after_they_have_enrolled(world: World) -> None:
    organization = await an_organization(world.db, admin_factor=False)
    request = a_request(organization)
    assert await trigger(world.resources, request) is None
    await world.enrol(organization.admin)
    assert await trigger(world.resources, request) is None, "it was consumed"
    assert await trigger(world.resources, a_request(organization)) is not None


async def test_a_request_outlives_the_weather_of_the_database(world: World, organization: Organization) -> None:
    async with world.db.transaction():
        await world.db.execute("SELECT pg_advisory_xact_lock(portcullis.lock_key('enforce', $1))", organization.id)
        asking = asyncio.create_task(trigger(world.resources, a_request(organization)))
        (pid,) = await world.somebody_waits()
        await world.terminate(pid)
        await world.somebody_waits()
    assert await asking is not None
    assert len(await runs(world)) == 1


async def test_a_request_that_expires_in_bad_weather_is_given_up(world: World, organization: Organization) -> None:
    async with world.db.transaction():
        await world.db.execute("SELECT pg_advisory_xact_lock(portcullis.lock_key('enforce', $1))", organization.id)
        asking = asyncio.create_task(trigger(world.resources, a_request(organization, lives=1.5)))
        (pid,) = await world.somebody_waits()
        await asyncio.sleep(1.6)
        await world.terminate(pid)
        assert await asking is None
    assert await runs(world) == []
