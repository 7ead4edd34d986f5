"""Numbers are right across real processes: each counts its own, PostgreSQL adds up, and who ends in order leaves nothing untold."""

from jobs.store import counts, measures
from tests.builders import an_organization
from tests.pipeline.system import Visit


async def total(visit: Visit, name: str) -> float:
    return sum(count.value for count in await counts.list_all(visit.db) if count.name == name)


async def test_two_of_a_kind_are_added_up_and_drained_processes_tell_the_rest(visit: Visit) -> None:
    visit.system.start("enforcer")
    visit.system.start("mailer")
    organization = await an_organization(visit.db, members=40)
    status = await visit.until_done(await visit.require(organization))
    assert await visit.system.terminate("mailer") == [0, 0]
    assert await visit.system.terminate("enforcer") == [0, 0]
    assert await total(visit, "portcullis_members_judged_total") == status["members"] == 41
    assert await total(visit, "portcullis_sessions_ended_total") == status["sessions_ended"]
    assert await total(visit, "portcullis_letters_total") == 42  # and the report
    assert await total(visit, "portcullis_relay_replies_total") == 42
    assert await visit.db.fetchval("SELECT array_agg(kind) FROM portcullis.process") == ["conductor"]


async def test_a_killed_process_is_missed_and_takes_no_told_number_along(visit: Visit) -> None:
    async def told() -> bool:
        return await total(visit, "portcullis_letters_total") >= before + 22

    before = await total(visit, "portcullis_letters_total")
    await visit.until_done(await visit.require(await an_organization(visit.db, members=20)))
    await visit.until(told)
    visit.system.kill("mailer")
    assert await total(visit, "portcullis_letters_total") == before + 22
    await visit.db.execute("UPDATE portcullis.process SET seen_at = seen_at - interval '31 seconds' WHERE kind = 'mailer'")
    assert {one.kind for one in await measures.processes(visit.db)} == {"conductor", "enforcer"}
    assert await total(visit, "portcullis_hints_total") > 0, "the conductor tells too"
