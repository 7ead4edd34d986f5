"""A sign-in and a switch at the same moment: no session without a second factor survives a run, because of one advisory lock.

The steps are put in order by hand: the sign-in has asked, the switch commits if it can, the run works to its end, the sign-in writes its
session. The same race without the lock leaves a survivor, which shows that it is the lock that closes it.
"""

import asyncio
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.store.batches import Stage
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.integration.switch_parts import EVERY_ID_TYPE, a_worker, connected, gate, lift, refused, require, waits, work

Db: TypeAlias = asyncpg.Connection

WITHOUT_THE_LOCK = """
    CREATE OR REPLACE FUNCTION portcullis.sign_in_requirement(user_id portcullis.member_id, started_with text) RETURNS text
    LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN portcullis.gate(user_id, NULL, started_with); END'
"""

WITH_AN_OLDER_LOOK = """
    CREATE OR REPLACE FUNCTION portcullis.sign_in_requirement(user_id portcullis.member_id, started_with text) RETURNS text
    LANGUAGE plpgsql VOLATILE AS $$
    #variable_conflict use_column
    DECLARE answer text;
    BEGIN
        SELECT portcullis.gate(m.user_id, NULL, sign_in_requirement.started_with) INTO answer
        FROM directory.member m WHERE m.user_id = sign_in_requirement.user_id
          AND pg_advisory_xact_lock_shared(portcullis.lock_key('login', m.organization_id)) IS NOT NULL;
        RETURN answer;
    END $$
"""
"""The lock and the look in one statement: its snapshot is older than the lock."""


class SignIn:
    """A sign-in of a main app, in two steps of one transaction."""

    def __init__(self, connection: Db, user_id: Any, started_with: str = "password") -> None:
        self._connection = connection
        self._user = (user_id, started_with)
        self._transaction = connection.transaction()

    async def ask(self) -> str:
        await self._transaction.start()
        self._requirement = str(await self._connection.fetchval("SELECT portcullis.sign_in_requirement($1, $2)", *self._user))
        return self._requirement

    async def write(self) -> None:
        await self._connection.execute(
            "INSERT INTO app.sessions (user_id, started_with, restricted_to_enrolment) VALUES ($1, $2, $3)",
            *self._user,
            self._requirement != "none",
        )
        await self._transaction.commit()


async def run_to_its_end(url: str, run_id: int) -> None:
    """Everything a run does, with letters that are all accepted."""
    async with a_worker(url) as resources:
        for stage in (Stage.PLAN, Stage.ENFORCE):
            await work(resources, run_id, stage)
        await resources.pool.execute(
            "UPDATE portcullis.batch SET state = 'done', accepted = accepted + owed, owed = 0 WHERE run_id = $1 AND stage = 'notice'",
            run_id,
        )
        await work(resources, run_id, Stage.FINISH)


async def survivors(db: Db) -> int:
    """Sessions of unprotected members that are served in full; counted in the app's own tables."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM app.sessions s JOIN app.users u USING (user_id)"
            " WHERE s.ended_at IS NULL AND NOT s.restricted_to_enrolment AND s.started_with <> 'sso' AND u.password_hash IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM app.second_factors f WHERE f.user_id = u.user_id AND f.confirmed_at IS NOT NULL)"
        )
    )


async def race(db: Db, url: str) -> tuple[bool, str]:
    """Let one switch meet one sign-in that has asked; returns whether the switch had to wait, and the state of its run at the end."""
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id, sessions=["password"])
    async with connected(url, 2) as [app, flipping]:
        sign_in = SignIn(app, user_id)
        assert await sign_in.ask() == "none"
        switch = asyncio.create_task(require(flipping, organization_id, admin))
        if not (has_waited := await waits(db, flipping, switch)):
            await run_to_its_end(url, await switch)
        await sign_in.write()
        run_id = await switch
        await run_to_its_end(url, run_id)
    return has_waited, str(await db.fetchval("SELECT state FROM portcullis.run WHERE run_id = $1", run_id))


@EVERY_ID_TYPE
@pytest.mark.survives("a sign-in while the switch is flipped", "I2 I3")
async def test_no_session_survives_the_race(db: Db, database_url: str, id_type: str) -> None:
    assert await race(db, database_url) == (True, "done")
    assert await survivors(db) == 0


async def test_without_the_lock_one_survives_a_run_that_says_done(db: Db, database_url: str) -> None:
    await db.execute(WITHOUT_THE_LOCK)
    assert await race(db, database_url) == (False, "done")
    assert await survivors(db) == 1


async def sign_in_behind_a_switch(db: Db, url: str) -> str:
    """Let a sign-in ask while a switch is not committed yet; it must wait, and then know."""
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id)
    async with connected(url, 2) as [app, flipping]:
        flip = flipping.transaction()
        await flip.start()
        await require(flipping, organization_id, admin)
        sign_in = SignIn(app, user_id)
        question = asyncio.create_task(sign_in.ask())
        assert await waits(db, app, question)
        await flip.commit()
        answer = await question
        await sign_in.write()
    return answer


async def test_a_sign_in_behind_a_switch_knows_of_it(db: Db, database_url: str) -> None:
    assert await sign_in_behind_a_switch(db, database_url) == "second_factor_setup"
    assert await survivors(db) == 0


async def test_a_look_in_the_statement_that_takes_the_lock_is_too_old(db: Db, database_url: str) -> None:
    await db.execute(WITH_AN_OLDER_LOOK)
    assert await sign_in_behind_a_switch(db, database_url) == "none"
    assert await survivors(db) == 1


async def test_a_switch_waits_for_every_sign_in_that_has_asked_and_later_ones_wait_for_it(db: Db, database_url: str) -> None:
    organization_id = await an_organization(db)
    admin = await an_admin(db, organization_id)
    users = [await a_member(db, organization_id) for _ in range(3)]
    async with connected(database_url, 4) as [flipping, *apps]:
        first, second, late = (SignIn(app, user_id) for app, user_id in zip(apps, users, strict=True))
        assert (await first.ask(), await second.ask()) == ("none", "none"), "sign-ins don't wait for each other"
        switch = asyncio.create_task(require(flipping, organization_id, admin))
        assert await waits(db, flipping, switch)
        behind = asyncio.create_task(late.ask())
        assert await waits(db, apps[2], behind), "a switch is not starved by a stream of sign-ins"
        await first.write()
        assert await waits(db, flipping, switch)
        await second.write()
        run_id = await switch
        assert await behind == "second_factor_setup"
        await late.write()
    assert await survivors(db) == 2
    await run_to_its_end(database_url, run_id)
    assert await survivors(db) == 0


async def test_whoever_belongs_to_two_organizations_holds_off_both(db: Db, database_url: str) -> None:
    here, there, elsewhere = [await an_organization(db, name) for name in ("Kestrel", "Heron", "Wren")]
    admins = {place: await an_admin(db, place) for place in (here, there, elsewhere)}
    user_id = await a_member(db, here)
    await db.execute("SELECT app.join_organization($1, $2, 'employee')", there, user_id)
    async with connected(database_url, 4) as [app, *flipping]:
        sign_in = SignIn(app, user_id)
        assert await sign_in.ask() == "none"
        switches = [asyncio.create_task(require(one, place, admins[place])) for one, place in zip(flipping, admins, strict=True)]
        assert [await waits(db, one, switch) for one, switch in zip(flipping, switches, strict=True)] == [True, True, False]
        await sign_in.write()
        for run_id in await asyncio.gather(*switches):
            await run_to_its_end(database_url, run_id)
    assert await survivors(db) == 0


async def test_sign_ins_and_flips_of_two_organizations_never_deadlock(db: Db, database_url: str) -> None:
    """Locks are taken in one order, whatever the order of memberships."""
    here, there = await an_organization(db), await an_organization(db, "Heron")
    admins = {place: await an_admin(db, place) for place in (here, there)}
    users = [await a_member(db, place) for place in (here, there) for _ in range(6)]
    for place in (there, here):
        for user_id in users:
            await db.execute("SELECT app.join_organization($1, $2, 'employee')", place, user_id)

    async def sign_in(connection: Db, user_id: Any) -> None:
        for _ in range(5):
            one = SignIn(connection, user_id)
            await one.ask()
            await one.write()

    async def flip(connection: Db, place: Any) -> None:
        for _ in range(3):
            await require(connection, place, admins[place])
            await lift(connection, place, admins[place])

    async with connected(database_url, len(users) + 2) as connections:
        await asyncio.gather(
            *(sign_in(connection, user_id) for connection, user_id in zip(connections, users, strict=False)),
            *(flip(connection, place) for connection, place in zip(connections[-2:], admins, strict=True)),
        )
    for place in (here, there):
        await run_to_its_end(database_url, await require(db, place, admins[place]))
    assert await survivors(db) == 0


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_sign_in_on_an_older_snapshot_is_refused(db: Db, isolation: str) -> None:
    with refused("PC006") as refusal:
        async with db.transaction(isolation=isolation):
            await db.execute("SELECT portcullis.sign_in_requirement(1, 'password')")
    assert refusal.message == f"sign_in_requirement must run under READ COMMITTED, not {isolation.replace('_', ' ').upper()}"
    assert "ISOLATION LEVEL READ COMMITTED" in refusal.hint


async def test_whoever_asks_outside_the_transaction_is_caught_at_the_next_request(db: Db, database_url: str) -> None:
    """The lock is gone before the session is written: the gate is what holds then."""
    organization_id = await an_organization(db)
    admin, user_id = await an_admin(db, organization_id), await a_member(db, organization_id)
    assert await db.fetchval("SELECT portcullis.sign_in_requirement($1, 'password')", user_id) == "none"
    await run_to_its_end(database_url, await require(db, organization_id, admin))
    await db.execute("INSERT INTO app.sessions (user_id, started_with) VALUES ($1, 'password')", user_id)
    assert await survivors(db) == 1
    assert await gate(db, user_id, organization_id) == "second_factor_setup"
