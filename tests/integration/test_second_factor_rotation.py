"""A new key for every secret, while people sign in: it ends in a count of zero, and the old key may leave the ring."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg

from jobs.second_factor import Accepted, Confirmed, Recovered, confirm, count_left, recover, rotate, rotation, verify
from jobs.second_factor.rotation import Progress
from tests.builders import a_member, an_organization
from tests.integration.second_factor_parts import NOW, STEP, Phone, begun, enrolled, no_sessions, ring, shown

OLD, BOTH, NEW = ring("k1"), ring("k2", "k1"), ring("k2")


async def people(db: asyncpg.Connection, count: int) -> list[Phone]:
    organization = await an_organization(db)
    return [await enrolled(db, (await a_member(db, organization.id, sessions=())).id, keys=OLD) for _ in range(count)]


async def rotated(db: asyncpg.Connection, **how: Any) -> list[Progress]:
    return [progress async for progress in rotate(db, BOTH, **how)]


async def test_afterwards_the_old_key_is_not_needed_for_anything(db: asyncpg.Connection) -> None:
    phones = await people(db, 3)
    waiting = await begun(db, (await a_member(db, (await an_organization(db)).id)).id, keys=OLD)
    assert await count_left(db, BOTH) == 7
    progress = await rotated(db)
    assert progress[-1] == Progress(resealed=7, left=0, unreadable=0)
    for phone in phones:
        assert isinstance(await verify(db, NEW, shown(phone.user_id), phone.code(), at=NOW), Accepted)
        used = await recover(db, NEW, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
        assert isinstance(used, Recovered)
    bound = await confirm(db, NEW, shown(waiting.user_id), waiting.code(), end_other_sessions=no_sessions, at=NOW)
    assert isinstance(bound, Confirmed)


async def test_it_goes_in_batches_and_says_how_far_it_is(db: asyncpg.Connection) -> None:
    await people(db, 5)
    progress = await rotated(db, batch=2)
    assert [step.resealed for step in progress] == [2, 4, 5, 7, 9, 10, 10]
    assert [step.left for step in progress] == [8, 6, 5, 3, 1, 0, 0]


async def test_twice_is_nothing_new(db: asyncpg.Connection) -> None:
    await people(db, 2)
    await rotated(db)
    before = await db.fetch("SELECT secret FROM portcullis.factor ORDER BY factor_id")
    assert await rotated(db) == [Progress(resealed=0, left=0, unreadable=0)]
    assert await db.fetch("SELECT secret FROM portcullis.factor ORDER BY factor_id") == before


async def test_given_up_halfway_it_goes_on_where_it_was(db: asyncpg.Connection) -> None:
    await people(db, 4)
    async for progress in rotate(db, BOTH, batch=1):
        if progress.resealed == 3:
            break
    assert await count_left(db, BOTH) == 5
    assert (await rotated(db))[-1] == Progress(resealed=5, left=0, unreadable=0)


async def test_what_no_key_opens_is_counted_and_does_not_stop_it(db: asyncpg.Connection) -> None:
    phones = await people(db, 3)
    await db.execute("UPDATE portcullis.factor SET secret = 'spoilt' WHERE user_id = $1", phones[0].user_id)
    await db.execute("UPDATE portcullis.recovery_set SET key_id = 'gone' WHERE user_id = $1", phones[1].user_id)
    assert (await rotated(db))[-1] == Progress(resealed=4, left=2, unreadable=2)


async def test_codes_are_accepted_all_the_while_and_each_once(db: asyncpg.Connection, database_url: str) -> None:
    """Three workers sign people in with the old ring, the new ring and both of them changed over, while two rotations run."""
    phones = await people(db, 30)
    accepted: list[Any] = []

    async def sign_in(keys: Any, share: int) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for round_ in range(3):
                for phone in phones[share::3]:
                    at = NOW + round_ * STEP
                    answers = [await verify(connection, keys, shown(phone.user_id), phone.code(at), at=at) for _ in range(2)]
                    accepted.append([type(answer).__name__ for answer in answers])
        finally:
            await connection.close()

    async def turn_keys() -> list[Progress]:
        connection = await asyncpg.connect(database_url)
        try:
            return [progress async for progress in rotate(connection, BOTH, batch=3)]
        finally:
            await connection.close()

    both_ways = ring("k1", "k2")
    turning = asyncio.gather(turn_keys(), turn_keys())
    await asyncio.gather(*(sign_in(keys, share) for share, keys in enumerate((BOTH, both_ways, BOTH))))
    one, two = await turning
    assert accepted == [["Accepted", "Refused"]] * 90
    assert one[-1].unreadable == two[-1].unreadable == 0
    assert await count_left(db, BOTH) == 0


async def test_a_factor_bound_under_the_old_key_meanwhile_is_found_by_the_count(db: asyncpg.Connection) -> None:
    """An old process goes on sealing with its own first key: the last count says so, and the next round moves it."""
    await people(db, 1)
    rounds = rotate(db, BOTH)
    await anext(rounds)
    await anext(rounds)  # the shelf of factors is done; before that, a new one whose random id comes later would still be met
    await people(db, 1)
    rest = [progress async for progress in rounds]
    assert rest[-1].left >= 1
    assert (await rotated(db))[-1].left == 0


class ChangesMeanwhile(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """The member does something between the read and the write of a rotation."""

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        if query == rotation.RESEAL and arguments[0] == "totp":
            await self.execute("UPDATE portcullis.factor SET secret = secret || 'changed'")
        return await super().fetchval(query, *arguments, **options)


async def test_a_secret_that_changed_since_it_was_read_is_left_alone(db: asyncpg.Connection, database_url: str) -> None:
    await people(db, 1)
    before = await db.fetchval("SELECT secret FROM portcullis.factor")
    connection = await asyncpg.connect(database_url, connection_class=ChangesMeanwhile)
    progress = await rotated(connection)
    await connection.close()
    assert progress[-1] == Progress(resealed=1, left=1, unreadable=0)
    row = await db.fetchrow("SELECT key_id, secret FROM portcullis.factor")
    assert tuple(row) == ("k1", before + b"changed")


def test_the_clock_of_these_tests_is_in_the_middle_of_a_step() -> None:
    """Or the two codes of `people` would not be what they are said to be."""
    assert NOW.timestamp() % 30 == 10
    assert timedelta(seconds=30) == STEP
