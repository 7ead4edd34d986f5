"""What `make up` says about its pages is true: the admin may flip the switch, the member is one whom it hits."""

import asyncpg

from jobs import client
from jobs.client import Verdict
from tests.main_app import passwords
from tests.main_app.demo import open_doors
from tests.main_app.impact import impact
from workers.demo.people import OrganizationSpec, seed


async def test_the_admin_may_switch_and_the_member_is_hit(db: asyncpg.Connection, database_url: str) -> None:
    (seeded,) = await seed(db, OrganizationSpec(members=60))
    doors = await open_doors(database_url, seeded.organization_id)

    affected = await impact(db, seeded.organization_id)
    assert {verdict: group.members for verdict, group in affected.items() if group.members} == dict(seeded.verdicts)
    assert all(len(group.people) == group.members for group in affected.values())
    assert doors.member in [address for _, address in affected[Verdict.UNPROTECTED].people]

    user_id, kept = await db.fetchrow("SELECT user_id, password_hash FROM app.users WHERE email = $1", doors.member)
    assert passwords.is_right(doors.password, kept)
    assert not passwords.is_right(doors.password + " ", kept)
    admin_id = await db.fetchval("SELECT user_id FROM app.users WHERE email = $1", doors.admin)
    await client.require_second_factor(db, seeded.organization_id, requested_by=admin_id, reason=None)
    assert await client.gate(db, user_id, None, started_with="password") is client.Requirement.SECOND_FACTOR_SETUP
    assert await client.gate(db, admin_id, None, started_with="sso") is client.Requirement.NONE
