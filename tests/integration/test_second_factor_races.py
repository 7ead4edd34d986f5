"""Everything at once: logins with one code, guesses over several processes and a restart, recovery codes, confirmations, removals."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from jobs.second_factor import (
    Accepted,
    Confirmed,
    NothingPending,
    Recovered,
    Refused,
    Removed,
    StillRequired,
    confirm,
    recover,
    remove,
    standing,
    verification,
    verify,
)
from jobs.second_factor.rules import FREE_FAILURES
from tests.builders import a_member, an_organization
from tests.integration.second_factor_parts import (
    COUNTED_BY_PORTCULLIS,
    KEYS,
    NOW,
    STEP,
    Phone,
    at_once,
    begun,
    enrolled,
    no_sessions,
    shown,
)
from tests.integration.switch_parts import require


@pytest.fixture
async def app(db: asyncpg.Connection) -> asyncpg.Connection:
    await db.execute(COUNTED_BY_PORTCULLIS)
    return db


@pytest.fixture
async def user(app: asyncpg.Connection) -> Any:
    return (await a_member(app, (await an_organization(app)).id)).id


@pytest.fixture
async def phone(app: asyncpg.Connection, user: Any) -> Phone:
    return await enrolled(app, user)


@pytest.mark.survives("one code in fifty sign-ins at once", "I13")
async def test_of_fifty_logins_with_one_code_one_succeeds(phone: Phone, database_url: str) -> None:
    """Check-then-set let 48 to 50 of 50 in; RFC 6238 5.2, ASVS 6.5.1, I13."""

    async def login(db: asyncpg.Connection, _: int) -> Accepted | Refused:
        return await verify(db, KEYS, shown(phone.user_id), phone.code(), at=NOW)

    answers = await at_once(database_url, 50, login)
    assert Counter(type(answer) for answer in answers) == {Accepted: 1, Refused: 49}


async def test_of_two_neighbouring_codes_at_once_the_later_one_never_loses_to_the_earlier_twice(phone: Phone, database_url: str) -> None:
    """Both may be right, the earlier one first; in no order more than twice, and never the earlier after the later."""

    async def login(db: asyncpg.Connection, number: int) -> tuple[int, bool]:
        back = number % 2
        answer = await verify(db, KEYS, shown(phone.user_id), phone.code(NOW - back * STEP), at=NOW)
        return back, isinstance(answer, Accepted)

    answers = await at_once(database_url, 40, login)
    successes = Counter(back for back, is_in in answers if is_in)
    assert successes[0] == 1
    assert successes[1] <= 1


async def test_of_two_hundred_guesses_at_once_five_are_looked_at(app: asyncpg.Connection, phone: Phone, database_url: str) -> None:
    """Counting failures afterwards lets 45 of 200 through a limit of 5; I14."""

    async def guess(db: asyncpg.Connection, _: int) -> object:
        return await verify(db, KEYS, shown(phone.user_id), phone.wrong(), at=NOW)

    assert set(await at_once(database_url, 200, guess)) == {Refused()}
    row = await app.fetchrow("SELECT evaluated, turned_away, failures FROM portcullis.holder WHERE user_id = $1", phone.user_id)
    assert dict(row) == {"evaluated": FREE_FAILURES, "turned_away": 200 - FREE_FAILURES, "failures": FREE_FAILURES}


@asynccontextmanager
async def a_guesser(url: str, phone: Phone, codes: range) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [url, str(phone.user_id), str(codes.start), str(codes.stop), str(NOW.timestamp())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.second_factor_guesser", *arguments, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves the pipe of a killed process to the collector


async def all_lines(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    return [line.decode().strip() async for line in process.stdout]


async def first_line(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().strip()]


@pytest.mark.survives("guesses over several processes and a restart", "I14")
async def test_guesses_over_several_processes_and_a_restart_are_one_count(app: asyncpg.Connection, phone: Phone, database_url: str) -> None:
    """Two hundred guesses by four processes, one of which is killed in the middle and comes back: five secrets opened in all; I14."""
    shares = [range(700_000 + 50 * share, 700_050 + 50 * share) for share in range(4)]
    async with (
        a_guesser(database_url, phone, shares[0]) as one,
        a_guesser(database_url, phone, shares[1]) as two,
        a_guesser(database_url, phone, shares[2]) as killed,
    ):
        seen = await first_line(killed)
        killed.kill()
        seen += await all_lines(killed)
        for process in (one, two):
            seen += await all_lines(process)
    async with a_guesser(database_url, phone, shares[2]) as again, a_guesser(database_url, phone, shares[3]) as late:
        for process in (again, late):
            seen += await all_lines(process)
    assert 1 <= seen.count("opened") <= FREE_FAILURES
    assert seen.count("Refused") >= 200
    assert "Accepted" not in seen
    assert await app.fetchval("SELECT evaluated FROM portcullis.holder WHERE user_id = $1", phone.user_id) == FREE_FAILURES


class CrashError(Exception):
    pass


class CrashesBeforeSpending(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """The app is gone after the attempt was counted and before the code's step is spent."""

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        if query == verification.SPEND:
            raise CrashError
        return await super().fetchrow(query, *arguments, **options)


async def test_a_crash_after_the_attempt_was_counted_forgets_nothing(app: asyncpg.Connection, phone: Phone, database_url: str) -> None:
    """Whoever can make the app fail between the answer and its commit could guess for ever: the count is committed first."""

    for _ in range(FREE_FAILURES):
        connection = await asyncpg.connect(database_url, connection_class=CrashesBeforeSpending)
        with pytest.raises(CrashError):
            await verify(connection, KEYS, shown(phone.user_id), phone.wrong(), at=NOW)
        await connection.close()
    assert await verify(app, KEYS, shown(phone.user_id), phone.code(), at=NOW) == Refused()


async def test_a_recovery_code_signs_in_once_however_many_try(app: asyncpg.Connection, phone: Phone, database_url: str) -> None:
    """Parse Server, GHSA-2299-ghjr-6vjp."""

    async def login(db: asyncpg.Connection, _: int) -> Recovered | Refused:
        return await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)

    answers = await at_once(database_url, 50, login)
    assert Counter(type(answer) for answer in answers) == {Recovered: 1, Refused: 49}
    assert await app.fetchval("SELECT count(*) FROM portcullis.factor_audit WHERE effect = 'recovery_used'") == 1


async def test_ten_recovery_codes_at_once_are_ten_sign_ins_and_the_last_one_leaves_none(phone: Phone, database_url: str) -> None:
    async def login(db: asyncpg.Connection, number: int) -> Recovered | Refused:
        return await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[number], end_other_sessions=no_sessions, at=NOW)

    answers = await at_once(database_url, 10, login)
    assert Counter(type(answer) for answer in answers) == {Recovered: 10}


async def test_a_factor_is_confirmed_once_however_many_try(app: asyncpg.Connection, user: Any, database_url: str) -> None:
    phone = await begun(app, user)

    async def one(db: asyncpg.Connection, _: int) -> object:
        return await confirm(db, KEYS, shown(user), phone.code(), end_other_sessions=no_sessions, at=NOW)

    answers = await at_once(database_url, 8, one)
    assert Counter(type(answer) for answer in answers) == {Confirmed: 1, NothingPending: 7}
    assert await app.fetchval("SELECT count(*) FROM portcullis.factor WHERE user_id = $1", user) == 1
    assert (await standing(app, user, at=NOW)).recovery_codes_left == 10


async def test_ten_tries_at_a_begun_factor_are_ten_however_many_try(app: asyncpg.Connection, user: Any, database_url: str) -> None:
    phone = await begun(app, user)

    async def one(db: asyncpg.Connection, _: int) -> object:
        return await confirm(db, KEYS, shown(user), phone.wrong(), end_other_sessions=no_sessions, at=NOW)

    answers = await at_once(database_url, 30, one)
    assert Counter(type(answer) for answer in answers) == {Refused: 10, NothingPending: 20}


async def test_a_removal_and_a_switch_at_the_same_moment_never_both_win(app: asyncpg.Connection, database_url: str) -> None:
    """Whichever is first: a factor that was removed was not required yet, or it stays."""
    outcomes: Counter[str] = Counter()
    for number in range(8):
        organization = await an_organization(app, name=f"Race {number}")
        phone = await enrolled(app, (await a_member(app, organization.id)).id)

        async def take_away(db: asyncpg.Connection, phone: Phone = phone) -> Any:
            return await remove(db, KEYS, shown(phone.user_id), code=phone.code(), end_other_sessions=no_sessions, at=NOW)

        async def switch(db: asyncpg.Connection, organization: Any = organization) -> Any:
            return await require(db, organization.id, organization.admin.id)

        async def either(db: asyncpg.Connection, which: int) -> Any:
            return await (take_away(db) if which else switch(db))

        answers = await at_once(database_url, 2, either)
        removed = next(answer for answer in answers if not isinstance(answer, int))
        is_bound = (await standing(app, phone.user_id)).is_bound
        assert isinstance(removed, Removed | StillRequired)
        assert is_bound is isinstance(removed, StillRequired)
        outcomes[type(removed).__name__] += 1
    assert outcomes.total() == 8


async def test_a_removal_waits_for_a_switch_that_has_begun(app: asyncpg.Connection, database_url: str) -> None:
    organization = await an_organization(app)
    phone = await enrolled(app, (await a_member(app, organization.id)).id)
    other = await asyncpg.connect(database_url)
    try:
        switch = other.transaction()
        await switch.start()
        await require(other, organization.id, organization.admin.id)
        removal = asyncio.create_task(remove(app, KEYS, shown(phone.user_id), code=phone.code(), end_other_sessions=no_sessions, at=NOW))
        await asyncio.sleep(0.2)
        assert not removal.done()
        await switch.commit()
        assert await removal == StillRequired(organizations=(organization.id,))
    finally:
        await other.close()
