"""What of the database passes by itself, and what is a fault of ours that trying again won't mend."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from jobs.store.database import Pool, close_pool, is_weather, open_pool

Fault = Callable[[Pool], Awaitable[object]]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size=2)
    yield opened
    await close_pool(opened)


async def a_closed_connection(pool: Pool) -> object:
    async with pool.acquire() as connection:
        await connection.close()
        return await connection.fetchval("SELECT 1")


async def a_connection_that_is_cut(pool: Pool) -> object:
    async with pool.acquire() as connection:
        asking = asyncio.create_task(connection.fetchval("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.1)
        await pool.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        return await asking


async def a_pool_that_closes(pool: Pool) -> object:
    await pool.close()
    return await pool.fetchval("SELECT 1")


async def a_lock_that_is_held(pool: Pool) -> object:
    async with pool.acquire() as holder, holder.transaction(), pool.acquire() as other:
        await holder.execute("SELECT pg_advisory_xact_lock(1)")
        async with other.transaction():
            await other.execute("SET LOCAL lock_timeout = '1ms'")
            return await other.execute("SELECT pg_advisory_xact_lock(1)")


async def an_argument_too_many(pool: Pool) -> object:
    return await pool.fetchval("SELECT $1::bigint", 1, 2)


async def an_argument_too_few(pool: Pool) -> object:
    return await pool.fetchval("SELECT $1::bigint")


async def an_argument_of_another_type(pool: Pool) -> object:
    return await pool.fetchval("SELECT $1::bigint", "one")


async def a_statement_that_does_not_exist(pool: Pool) -> object:
    return await pool.fetchval("SELECT nothing_of_that_name()")


async def fault_of(pool: Pool, attempt: Fault) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- the test says which
        await attempt(pool)
    return raised.value


@pytest.mark.parametrize("attempt", [a_closed_connection, a_connection_that_is_cut, a_pool_that_closes, a_lock_that_is_held])
async def test_what_passes_by_itself_is_weather(pool: Pool, attempt: Fault) -> None:
    fault = await fault_of(pool, attempt)
    assert is_weather(fault), repr(fault)


@pytest.mark.parametrize(
    "attempt", [an_argument_too_many, an_argument_too_few, an_argument_of_another_type, a_statement_that_does_not_exist]
)
async def test_a_statement_that_is_called_wrongly_is_no_weather(pool: Pool, attempt: Fault) -> None:
    fault = await fault_of(pool, attempt)
    assert not is_weather(fault), repr(fault)
