"""Codes at sign-in: each once, the ladder of failures, and secrets that can't be opened."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from jobs.second_factor import (
    Accepted,
    InTransaction,
    Recovered,
    Refused,
    begin,
    confirm,
    recover,
    refusals,
    standing,
    verification,
    verify,
)
from jobs.second_factor.rules import SECRET_BYTES
from tests.builders import a_member, an_organization
from tests.integration.second_factor_parts import (
    ACCOUNT,
    KEYS,
    NOW,
    STEP,
    Phone,
    begun,
    check,
    effects,
    enrolled,
    letters,
    no_sessions,
    ring,
    shown,
    use,
)

pytest_plugins = ["tests.integration.second_factor_fixtures"]


# Codes


async def test_each_code_works_once(app: asyncpg.Connection, phone: Phone) -> None:
    assert isinstance(await check(app, phone), Accepted)
    assert await check(app, phone) == Refused()


async def test_a_then_b_then_a_again_is_refused(app: asyncpg.Connection, phone: Phone) -> None:
    """A memory of the last code alone accepts the one before it within the window."""
    a, b = phone.code(NOW - STEP), phone.code(NOW)
    assert isinstance(await check(app, phone, a), Accepted)
    assert isinstance(await check(app, phone, b), Accepted)
    assert await check(app, phone, a) == Refused()


async def test_the_step_before_is_accepted_and_no_older_and_no_later_one(app: asyncpg.Connection, user: Any) -> None:
    phone = await enrolled(app, user, at=NOW - 10 * STEP)
    for away, right in ((-2, False), (1, False), (2, False), (-1, True), (0, True)):
        assert isinstance(await check(app, phone, phone.code(NOW + away * STEP)), Accepted) is right


async def test_what_can_be_no_code_is_refused_and_no_failure(app: asyncpg.Connection, phone: Phone) -> None:
    for typed in 3 * ["", "12345", "1234567", "abcdef", "12 34", "١٢٣٤٥٦"]:
        assert await check(app, phone, typed) == Refused()
    assert isinstance(await check(app, phone), Accepted)


async def test_the_same_code_in_full_width_digits_is_refused(app: asyncpg.Connection, phone: Phone) -> None:
    code = phone.code()
    assert await check(app, phone, "".join(chr(ord(digit) + 0xFEE0) for digit in code)) == Refused()
    assert isinstance(await check(app, phone, code), Accepted)


async def test_a_clock_that_jumps_ahead_and_back_lets_no_code_in_twice_and_locks_nobody_out(app: asyncpg.Connection, phone: Phone) -> None:
    assert isinstance(await check(app, phone), Accepted)
    ahead = NOW + timedelta(days=2)
    assert await check(app, phone, phone.code(NOW + STEP), at=ahead) == Refused()
    assert await check(app, phone, phone.code(NOW), at=NOW - STEP) == Refused()
    assert await check(app, phone, phone.code(NOW), at=NOW) == Refused()
    assert isinstance(await check(app, phone, at=NOW + STEP), Accepted)


async def test_a_clock_that_jumped_ahead_waits_to_be_caught_up_with(app: asyncpg.Connection, phone: Phone) -> None:
    """The server and the phone were both an hour ahead; then both are right again."""
    assert isinstance(await check(app, phone, at=NOW + timedelta(hours=1)), Accepted)
    assert await check(app, phone, at=NOW + timedelta(minutes=59)) == Refused()
    assert isinstance(await check(app, phone, at=NOW + timedelta(hours=1) + STEP), Accepted)


async def test_without_a_given_time_the_databases_clock_counts(app: asyncpg.Connection, user: Any) -> None:
    now = await app.fetchval("SELECT clock_timestamp()")
    phone = await enrolled(app, user, at=now - 4 * STEP)
    assert isinstance(await verify(app, KEYS, shown(user), phone.code(now)), Accepted)


async def test_a_code_is_never_looked_at_inside_a_transaction(app: asyncpg.Connection, phone: Phone) -> None:
    """A rollback would forget the attempt: whoever could make the app fail afterwards could guess for ever."""
    async with app.transaction():
        with pytest.raises(InTransaction, match="a rollback would forget it"):
            await check(app, phone)


# The ladder


async def test_five_failures_cost_thirty_seconds_and_each_further_one_twice_as_much(app: asyncpg.Connection, phone: Phone) -> None:
    at = NOW
    for _ in range(5):
        assert await check(app, phone, phone.wrong(at), at=at) == Refused()
    for seconds in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600):
        before = await app.fetchval("SELECT evaluated FROM portcullis.holder")
        almost = at + timedelta(seconds=seconds, milliseconds=-1)
        assert await check(app, phone, at=almost) == Refused(), "even the right code waits"
        assert await app.fetchval("SELECT evaluated FROM portcullis.holder") == before, "and is not looked at"
        at += timedelta(seconds=seconds)
        assert await check(app, phone, phone.wrong(at), at=at) == Refused()
        assert await app.fetchval("SELECT evaluated FROM portcullis.holder") == before + 1


async def test_a_right_code_forgets_the_failures(app: asyncpg.Connection, phone: Phone) -> None:
    for round_ in range(3):
        at = NOW + round_ * 2 * STEP
        for _ in range(4):
            assert await check(app, phone, phone.wrong(at), at=at) == Refused()
        assert isinstance(await check(app, phone, at=at), Accepted)


async def test_a_hundred_failures_disable_the_factor_until_it_is_bound_again(app: asyncpg.Connection, phone: Phone) -> None:
    """NIST SP 800-63B-4 3.2.2. It still counts: otherwise a hundred wrong guesses would turn the second step off."""
    at = NOW
    for failure in range(1, 101):
        assert (await standing(app, phone.user_id, at=at)).is_disabled is False, failure
        assert await check(app, phone, phone.wrong(at), at=at) == Refused()
        at += timedelta(hours=1)
    assert (await standing(app, phone.user_id, at=at)).is_disabled
    assert await check(app, phone, at=at) == Refused()
    assert await app.fetchval("SELECT evaluated FROM portcullis.holder") == 100
    assert await app.fetchval("SELECT portcullis.has_second_factor($1)", phone.user_id)
    assert await effects(app, phone.user_id) == ["added", "disabled"]
    assert await letters(app, phone.user_id) == ["factor_added", "factor_removed"]

    answer = await begin(app, KEYS, shown(phone.user_id), ACCOUNT, code=phone.code(at), dormant_after=None, at=at)
    assert answer == Refused(), "a password does not bind a new one"
    recovered = await use(app, phone, phone.recovery_codes[0], at=at)
    assert isinstance(recovered, Recovered)
    assert recovered.must_bind_again
    again = await enrolled(app, phone.user_id, at=at, ticket=recovered.ticket)
    assert isinstance(await check(app, again, at=at + STEP), Accepted)


async def test_the_hundredth_code_may_be_right(app: asyncpg.Connection, phone: Phone) -> None:
    await check(app, phone, phone.wrong())
    await app.execute("UPDATE portcullis.holder SET failures = 99")
    assert isinstance(await check(app, phone), Accepted)
    assert await app.fetchval("SELECT failures FROM portcullis.holder") == 0


async def test_a_crash_between_the_hundredth_attempt_and_its_consequence_changes_nothing(app: asyncpg.Connection, phone: Phone) -> None:
    await check(app, phone, phone.wrong())
    await app.execute("UPDATE portcullis.holder SET failures = 100, locked_until = NULL")
    assert await check(app, phone) == Refused()
    assert await effects(app, phone.user_id) == ["added", "disabled"]


async def test_failures_before_a_factor_is_bound_do_not_count_against_it(app: asyncpg.Connection, user: Any) -> None:
    for _ in range(20):
        assert await verify(app, KEYS, shown(user), "123456", at=NOW) == Refused()
    phone = await enrolled(app, user)
    assert isinstance(await check(app, phone), Accepted)


async def test_wrong_replayed_locked_disabled_and_unknown_look_alike(app: asyncpg.Connection, user: Any, phone: Phone) -> None:
    stranger = (await a_member(app, (await an_organization(app)).id)).id
    with capture_logs() as logs:
        answers = [await verify(app, KEYS, shown(stranger), "123456", at=NOW), await check(app, phone, phone.wrong())]
        await check(app, phone)
        answers.append(await check(app, phone))
        answers += [await check(app, phone, phone.wrong()) for _ in range(5)]
        await app.execute("UPDATE portcullis.factor SET disabled_at = now()")
        answers.append(await check(app, phone))
        answers.append(await check(app, phone, "nonsense"))
    assert {id(answer) for answer in answers} == {id(answers[0])}
    reasons = [line["reason"] for line in logs if line["event"] == "code_refused"]
    assert reasons == ["unknown", "wrong", "replayed", "wrong", "wrong", "wrong", "wrong", "locked", "disabled", "malformed"]


async def test_every_refusal_takes_the_same_steps_on_the_database(app: asyncpg.Connection, phone: Phone) -> None:
    """The time that PostgreSQL takes is all there is to measure from outside: one write and one conditional update, whatever the reason."""
    stranger = (await a_member(app, (await an_organization(app)).id)).id
    asked: list[str] = []
    app.add_query_logger(lambda record: asked.append(record.query))

    async def steps(user_id: Any, code: str) -> tuple[str, ...]:
        asked.clear()
        await verify(app, KEYS, shown(user_id), code, at=NOW)
        await asyncio.sleep(0)  # loggers are called a moment later
        return tuple(asked)

    typed = {"wrong": phone.wrong(), "malformed": "x", "right": phone.code(), "replayed": phone.code()}
    paths = {name: await steps(phone.user_id, code) for name, code in typed.items()}
    for _ in range(6):
        paths["locked"] = await steps(phone.user_id, phone.wrong())
    paths["unknown"] = await steps(stranger, "123456")
    assert set(paths.values()) == {(verification.RESERVE, verification.SPEND)}


# What opens nothing


async def test_a_missing_key_refuses_calls_for_ops_and_counts_against_nobody(app: asyncpg.Connection, phone: Phone) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            assert await verify(app, ring("k2"), shown(phone.user_id), phone.code(), at=NOW) == Refused()
    errors = [line for line in logs if line["event"] == "secret_unreadable"]
    assert len(errors) == 10
    assert errors[0]["key"] == "k1"
    assert "PORTCULLIS_KEYS" in errors[0]["why"]
    assert isinstance(await verify(app, ring("k2", "k1"), shown(phone.user_id), phone.code(), at=NOW), Accepted)


async def test_a_tampered_row_opens_nothing(app: asyncpg.Connection, phone: Phone) -> None:
    flipped = "secret = set_byte(secret, 20, get_byte(secret, 20) # 1)"
    for damage in (flipped, "secret = ''", "key_id = 'unheard of'", "factor_id = gen_random_uuid()"):
        before = refusals.counted[refusals.Refusal.UNREADABLE]
        with capture_logs() as logs:
            row = await app.fetchrow("SELECT * FROM portcullis.factor")
            await app.execute(f"UPDATE portcullis.factor SET {damage}")
            assert await check(app, phone) == Refused(), damage
            await app.execute(
                "UPDATE portcullis.factor SET (factor_id, key_id, secret) = ($1, $2, $3)", *(row["factor_id"], row["key_id"], row["secret"])
            )
        assert refusals.counted[refusals.Refusal.UNREADABLE] == before + 1
        assert [line["log_level"] for line in logs if line["event"] == "secret_unreadable"] == ["error"]
        assert phone.secret not in str(logs)
    assert isinstance(await check(app, phone), Accepted)


async def test_a_ciphertext_moved_to_another_row_does_not_open(app: asyncpg.Connection, phone: Phone) -> None:
    """A thief who may write puts the secret of their own factor into the victim's row."""
    thief = await enrolled(app, (await a_member(app, (await an_organization(app)).id)).id)
    await app.execute(
        "UPDATE portcullis.factor v SET secret = t.secret, key_id = t.key_id FROM portcullis.factor t"
        " WHERE v.user_id = $1 AND t.user_id = $2",
        phone.user_id,
        thief.user_id,
    )
    assert await check(app, phone, thief.code()) == Refused()


async def test_a_pending_secret_that_can_not_be_opened_is_refused(app: asyncpg.Connection, user: Any) -> None:
    phone = await begun(app, user)
    assert await confirm(app, ring("k2"), shown(user), phone.code(), end_other_sessions=no_sessions, at=NOW) == Refused()


async def test_recovery_codes_whose_key_is_missing_are_refused(app: asyncpg.Connection, phone: Phone) -> None:
    with capture_logs() as logs:
        answer = await recover(app, ring("k2"), shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    assert answer == Refused()
    assert [line["event"] for line in logs] == ["secret_unreadable", "code_refused"]


async def test_nothing_secret_is_logged_or_stored_in_the_clear(app: asyncpg.Connection, user: Any) -> None:
    with capture_logs() as logs:
        phone = await enrolled(app, user)
        await check(app, phone)
        await check(app, phone, "271828")
        await use(app, phone, phone.recovery_codes[0])
    stored = ""
    for table in ("factor", "holder", "recovery_set", "recovery_code", "factor_audit", "factor_letter"):
        stored += str(await app.fetch(f"SELECT t::text FROM portcullis.{table} t"))
    raw = (await app.fetchval("SELECT array_agg(secret) FROM portcullis.factor"))[0]
    canaries = [phone.secret, "271828", *phone.recovery_codes, *(code.replace("-", "") for code in phone.recovery_codes)]
    assert not [canary for canary in canaries if canary in str(logs) or canary in stored]
    assert len(raw) == 12 + SECRET_BYTES + 16
