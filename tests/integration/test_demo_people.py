"""Seeding fills the main app with exactly what it says."""

import asyncpg
import pytest

from workers.demo.main_app import IdType
from workers.demo.people import OrganizationSpec, Seeded, seed

EVERY_ID_TYPE = pytest.mark.parametrize("id_type", list(IdType), indirect=True)


async def preview(db: asyncpg.Connection, seeded: Seeded) -> tuple[dict[tuple[str, str], int], int]:
    rows = await db.fetch("SELECT * FROM portcullis.preview_second_factor($1)", seeded.organization_id)
    return {(row["verdict"], row["kind"]): row["members"] for row in rows}, sum(row["sessions"] for row in rows)


async def live(db: asyncpg.Connection) -> int:
    return int(await db.fetchval("SELECT count(*) FROM directory.session"))


@EVERY_ID_TYPE
async def test_the_preview_finds_what_the_seeding_counted(db: asyncpg.Connection, id_type: IdType) -> None:
    (seeded,) = await seed(db, OrganizationSpec(members=500))
    assert seeded.members == 500
    assert await preview(db, seeded) == (seeded.by_kind, seeded.sessions_ended)
    assert await live(db) == seeded.sessions_ended + seeded.sessions_kept


async def test_members_of_two_organizations_are_counted_in_both(db: asyncpg.Connection) -> None:
    first, second = await seed(
        db, OrganizationSpec(members=300), OrganizationSpec(name="Osprey", domain="osprey.example", members=100, shared=40)
    )
    assert await db.fetchval("SELECT count(*) FROM (SELECT FROM directory.member GROUP BY user_id HAVING count(*) = 2) AS twice") == 40
    for seeded, members in ((first, 300), (second, 100)):
        assert seeded.members == members
        assert await preview(db, seeded) == (seeded.by_kind, seeded.sessions_ended)


async def test_the_admin_complies_and_may_flip_the_switch(db: asyncpg.Connection) -> None:
    (seeded,) = await seed(db, OrganizationSpec(members=50))
    run = await db.fetchval("SELECT portcullis.require_second_factor($1, $2, 'test')", seeded.organization_id, seeded.admin_id)
    assert run is not None


@EVERY_ID_TYPE
async def test_the_app_can_go_on_behind_what_was_seeded(db: asyncpg.Connection, id_type: IdType) -> None:
    await seed(db, OrganizationSpec(members=10), seed=1)
    await db.fetchval("INSERT INTO app.users (email) VALUES ('new@example.com') RETURNING user_id")
    (again,) = await seed(db, OrganizationSpec(members=10), seed=2)
    assert again.members == 10
    assert await db.fetchval("SELECT count(*) FROM app.users") == 21


async def test_an_organization_may_be_plain_and_small(db: asyncpg.Connection) -> None:
    (seeded,) = await seed(db, OrganizationSpec(members=3, sessions_each=1, share_unprotected=1, with_oddities=False))
    assert seeded.verdicts == {"protected": 1, "unprotected": 2}
    assert await db.fetchval("SELECT count(*) FROM app.sessions") == 3


async def test_no_reference_points_nowhere(db: asyncpg.Connection) -> None:
    """Foreign keys are not checked on the way in, so they are checked here."""
    await seed(db, OrganizationSpec(members=200), OrganizationSpec(domain="osprey.example", members=50, shared=10))
    keys = await db.fetch(
        "SELECT conname, conrelid::regclass::text AS of FROM pg_constraint WHERE contype = 'f' AND connamespace = 'app'::regnamespace"
    )
    assert len(keys) >= 6
    for key in keys:
        definition = await db.fetchval("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", key["conname"])
        await db.execute(f"ALTER TABLE {key['of']} ADD CONSTRAINT again {definition}; ALTER TABLE {key['of']} DROP CONSTRAINT again")
