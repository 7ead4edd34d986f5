"""The notary: seals in order, once, whoever else is at it, and signs when a run ends."""

import asyncio

import asyncpg
import pytest

from jobs.audit import checkpoints, sealing
from jobs.audit.entries import Entry, vouch_for
from jobs.audit.notary import Notary
from jobs.audit.verification import Trust, verify
from jobs.keys import Purpose
from jobs.store.database import open_pool
from tests.builders import an_organization
from tests.pipeline.world import RING, World

TRUST = Trust.in_ring(RING)
KEY = RING.current(Purpose.AUDIT)


async def count(world: World, table: str) -> int:
    return int(await world.db.fetchval(f"SELECT count(*) FROM portcullis.{table}"))


async def test_it_seals_what_waits_and_signs_at_once_when_a_run_ends(world: World) -> None:
    notary = Notary(world.pool, RING)
    await notary.look()
    assert await count(world, "audit_checkpoint") == 0
    await world.run_to_end(await world.require(await an_organization(world.db, members=2)))
    assert await notary.look() == 6
    assert (await count(world, "audit_unsealed"), await count(world, "audit_checkpoint")) == (0, 1)
    assert await notary.look() == 0
    assert await count(world, "audit_checkpoint") == 1


async def test_two_at_once_make_one_chain(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "AT_A_TIME", 3)
    for number in range(30):
        await world.db.execute("SELECT portcullis.write_audit($1, 'tried', '{}')", number % 2)
    notaries = [Notary(world.pool, RING) for _ in range(4)]
    for _ in range(12):
        await asyncio.gather(*(notary.look() for notary in notaries))
    assert await count(world, "audit_seal") == 30
    places = await world.db.fetch("SELECT run_id, count(*), max(place) FROM portcullis.audit_seal GROUP BY run_id ORDER BY run_id")
    assert [tuple(row) for row in places] == [(0, 15, 15), (1, 15, 15)]


async def test_an_entry_that_is_committed_late_is_sealed_then(world: World, database_url: str) -> None:
    late = await asyncpg.connect(database_url)
    async with late.transaction():
        await late.execute("SELECT portcullis.write_audit(0, 'late', '{}')")
        await world.db.execute("SELECT portcullis.write_audit(0, 'soon', '{}')")
        assert await Notary(world.pool, RING).look() == 1
    assert await Notary(world.pool, RING).look() == 1
    await late.close()
    rows = await world.db.fetch(
        "SELECT e.effect FROM portcullis.audit_seal s JOIN portcullis.audit_entry e USING (entry_id) ORDER BY s.place"
    )
    assert [row["effect"] for row in rows] == ["soon", "late"]
    assert (await verify(world.db, TRUST)).finding is None


async def test_a_rolled_back_effect_has_no_entry(world: World) -> None:
    organization = await an_organization(world.db, members=1)
    transaction = world.db.transaction()
    await transaction.start()
    await world.db.execute("SELECT portcullis.require_second_factor($1, $2, 'x')", organization.id, organization.admin.id)
    await transaction.rollback()
    assert await count(world, "audit_entry") == 0


async def test_it_outlives_the_weather_of_the_database(world: World) -> None:
    pool = await open_pool(world.url, size=1)
    task = asyncio.create_task(Notary(pool, RING).run())
    await asyncio.sleep(0.1)
    async with pool.acquire() as connection:
        process = connection.get_server_pid()
    await world.terminate(process)
    await world.db.execute("SELECT portcullis.write_audit(0, 'tried', '{}')")
    await world.until(lambda: count(world, "audit_unsealed"), 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pool.close()


async def test_an_entrys_bytes_are_the_same_here_and_in_the_database(world: World) -> None:
    await world.db.execute(
        "INSERT INTO portcullis.audit_entry (run_id, effect, batch_id, facts, records)"
        " VALUES (7, 'tried', 3, '{\"reason\": \"Grüße\\n\"}', decode(repeat('00', 13), 'hex')), (0, 'tried', NULL, '{}', NULL)"
    )
    rows = await world.db.fetch(
        "SELECT entry_id, run_id, effect, batch_id, happened_at, facts::text AS facts, records, key_id, mac,"
        " portcullis.audit_message(effect, run_id, batch_id, happened_at, facts::text, records) AS message"
        " FROM portcullis.audit_entry ORDER BY entry_id"
    )
    for row in rows:
        assert Entry(**{name: row[name] for name in Entry.__slots__}).message == row["message"]
    assert len(rows) == 2


def test_a_batchs_key_is_its_own() -> None:
    assert len({vouch_for(KEY, run, batch).inner for run in (1, 2, 11) for batch in (1, 2, 12)}) == 9
    assert "inner" not in repr(vouch_for(KEY, 1, 1))


async def test_a_checkpoint_is_not_made_while_nothing_is_new(world: World) -> None:
    assert await checkpoints.sign(world.db, RING) is None
    await world.db.execute("SELECT portcullis.write_audit(0, 'tried', '{}')")
    assert await checkpoints.sign(world.db, RING) is None, "it covers seals, not entries"
    await sealing.seal(world.db, KEY)
    assert (await checkpoints.sign(world.db, RING)) is not None
    assert await checkpoints.sign(world.db, RING) is None
