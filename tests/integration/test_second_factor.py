"""The second factor as a main app uses it: bind, sign in, recover, replace, remove, and what each of them refuses."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from jobs.second_factor import (
    Accepted,
    Account,
    Begun,
    Confirmed,
    FirstMethod,
    InTransaction,
    NothingPending,
    NotInTransaction,
    Origin,
    ProveAddress,
    Recovered,
    RecoveryCodes,
    Refused,
    Removed,
    StillRequired,
    asks,
    begin,
    confirm,
    end_everywhere,
    recover,
    refusals,
    remove,
    renew_recovery_codes,
    standing,
    verification,
    verify,
)
from jobs.second_factor.rules import SECRET_BYTES
from tests.builders import a_member, a_session, an_organization
from tests.integration.second_factor_parts import ACCOUNT, KEYS, NOW, STEP, Phone, begun, enrolled, no_sessions, ring, shown
from tests.integration.switch_parts import EVERY_ID_TYPE, gate, require

WHERE = Origin(address="192.0.2.7", device="Firefox on Linux")

COUNTED_BY_PORTCULLIS = """
    CREATE OR REPLACE VIEW directory.member AS
    SELECT membership.organization_id, membership.user_id, account.email, account.email_verified_at IS NOT NULL AS email_verified,
           account.display_name, account.locale, account.time_zone, membership.kind, account.password_hash IS NOT NULL AS has_password,
           (SELECT true FROM app.identities i WHERE i.user_id = membership.user_id LIMIT 1) IS NOT NULL AS has_sso,
           (SELECT true FROM app.second_factors f WHERE f.user_id = membership.user_id AND f.confirmed_at IS NOT NULL LIMIT 1) IS NOT NULL
               OR portcullis.has_second_factor(membership.user_id) AS has_second_factor,
           account.deactivated_at IS NULL AS is_active
    FROM app.memberships AS membership
    LEFT JOIN app.users AS account ON account.user_id = membership.user_id
"""
"""The reference app's view, where a factor of Portcullis counts beside the app's own: both may exist."""


@pytest.fixture
async def app(db: asyncpg.Connection) -> asyncpg.Connection:
    await db.execute(COUNTED_BY_PORTCULLIS)
    return db


@pytest.fixture
async def user(app: asyncpg.Connection) -> Any:
    organization = await an_organization(app)
    return (await a_member(app, organization.id, sessions=())).id


@pytest.fixture
async def phone(app: asyncpg.Connection, user: Any) -> Phone:
    return await enrolled(app, user)


async def check(db: asyncpg.Connection, phone: Phone, code: str | None = None, at: datetime = NOW) -> Accepted | Refused:
    return await verify(db, KEYS, shown(phone.user_id), phone.code(at) if code is None else code, at=at)


async def use(db: asyncpg.Connection, phone: Phone, code: str, **how: Any) -> Recovered | Refused:
    how = {"end_other_sessions": no_sessions, "at": NOW, **how}
    return await recover(db, KEYS, shown(phone.user_id, how.pop("method", FirstMethod.PASSWORD)), code, **how)


async def effects(db: asyncpg.Connection, user: Any) -> list[str]:
    rows = await db.fetch("SELECT effect FROM portcullis.factor_audit WHERE user_id = $1 ORDER BY audit_id", user)
    return [row["effect"] for row in rows]


async def letters(db: asyncpg.Connection, user: Any) -> list[str]:
    rows = await db.fetch("SELECT letter FROM portcullis.factor_letter WHERE user_id = $1 ORDER BY letter_id", user)
    return [row["letter"] for row in rows]


# Bind


@EVERY_ID_TYPE
async def test_a_member_scans_confirms_and_signs_in(app: asyncpg.Connection, user: Any) -> None:
    answer = await begin(app, KEYS, shown(user), ACCOUNT, at=NOW)
    assert isinstance(answer, Begun)
    assert answer.expires_at == NOW + timedelta(minutes=10)
    assert answer.grouped_secret.replace(" ", "") == answer.secret
    assert not (await standing(app, user, at=NOW)).is_bound
    phone = Phone(user_id=user, secret=answer.secret)
    bound = await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=no_sessions, origin=WHERE, at=NOW)
    assert isinstance(bound, Confirmed)
    assert not bound.has_replaced
    assert len(bound.recovery.codes) == 10
    assert await check(app, phone, at=NOW + STEP) == Accepted(factor_id=bound.factor_id, kind="totp")
    found = await standing(app, user, at=NOW + STEP)
    assert (found.kinds, found.recovery_codes_left, found.confirmed_at, found.last_used_at) == (("totp",), 10, NOW, NOW + STEP)
    assert found.pending_until is None


async def test_a_factor_that_was_only_begun_protects_nobody(app: asyncpg.Connection, user: Any) -> None:
    phone = await begun(app, user)
    assert await check(app, phone) == Refused()
    assert not await app.fetchval("SELECT portcullis.has_second_factor($1)", user)
    assert (await standing(app, user, at=NOW)).pending_until == NOW + timedelta(minutes=10)


async def test_the_confirming_code_is_spent(app: asyncpg.Connection, user: Any) -> None:
    phone = await begun(app, user)
    code = phone.code()
    assert isinstance(await confirm(app, KEYS, shown(user), code, end_other_sessions=no_sessions, at=NOW), Confirmed)
    assert await check(app, phone, code) == Refused()


async def test_begun_twice_the_first_qr_code_is_worth_nothing(app: asyncpg.Connection, user: Any) -> None:
    first, second = await begun(app, user), await begun(app, user)
    assert await confirm(app, KEYS, shown(user), first.code(), end_other_sessions=no_sessions, at=NOW) == Refused()
    assert isinstance(await confirm(app, KEYS, shown(user), second.code(), end_other_sessions=no_sessions, at=NOW), Confirmed)


async def test_a_factor_that_waited_ten_minutes_is_begun_again(app: asyncpg.Connection, user: Any) -> None:
    phone, late = await begun(app, user), NOW + timedelta(minutes=10)
    with capture_logs() as logs:
        assert await confirm(app, KEYS, shown(user), phone.code(late), end_other_sessions=no_sessions, at=late) == NothingPending()
    assert {"event": "code_refused", "user": str(user), "reason": "pending", "log_level": "info"} in logs


async def test_confirming_what_was_never_begun(app: asyncpg.Connection, user: Any) -> None:
    answer = await confirm(app, KEYS, shown(user), "123456", end_other_sessions=no_sessions, at=NOW)
    assert answer == NothingPending()
    assert "Begin it again" in NothingPending.advice


async def test_ten_wrong_codes_and_the_factor_is_begun_again(app: asyncpg.Connection, user: Any) -> None:
    phone = await begun(app, user)
    for _ in range(10):
        assert await confirm(app, KEYS, shown(user), phone.wrong(), end_other_sessions=no_sessions, at=NOW) == Refused()
    assert await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=no_sessions, at=NOW) == NothingPending()


async def test_the_owner_who_confirms_outdoes_a_thief_who_had_begun(app: asyncpg.Connection, user: Any) -> None:
    """The thief begins, the owner begins and confirms, the thief's request to begin is written a moment too late."""
    thief = await begun(app, user)
    late = await app.fetchrow("SELECT * FROM portcullis.pending_factor WHERE user_id = $1", user)
    await enrolled(app, user)
    values = tuple(late.values())
    places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
    await app.execute(f"INSERT INTO portcullis.pending_factor ({', '.join(late.keys())}) VALUES ({places})", *values)
    assert await confirm(app, KEYS, shown(user), thief.code(), end_other_sessions=no_sessions, at=NOW) == NothingPending()
    assert await check(app, thief) == Refused()


async def test_confirming_ends_other_sessions_so_that_a_thiefs_does_not_outlive_it(app: asyncpg.Connection, user: Any) -> None:
    """GitLab 31307, ASVS 7.4.3: the password session that was there before the owner enrolled."""
    thiefs, present = await a_session(app, user), await a_session(app, user, restricted=True)
    phone = await begun(app, user)

    async def end_all_but_present(db: asyncpg.Connection, user_id: Any) -> int:
        done = await db.execute("UPDATE app.sessions SET ended_at = now() WHERE user_id = $1 AND session_id <> $2", user_id, present)
        await db.execute("UPDATE app.sessions SET restricted_to_enrolment = false WHERE session_id = $1", present)
        return int(done.split()[-1])

    answer = await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=end_all_but_present, at=NOW)
    assert isinstance(answer, Confirmed)
    assert answer.sessions_ended == 1
    live = await app.fetch("SELECT session_id FROM directory.session WHERE user_id = $1", user)
    assert [row["session_id"] for row in live] == [present]
    assert thiefs != present


async def test_the_ready_way_to_end_sessions_reaches_every_organization_and_every_kind(app: asyncpg.Connection, user: Any) -> None:
    other = await an_organization(app, name="Other")
    await app.execute("SELECT app.join_organization($1, $2)", other.id, user)
    for started_with in ("password", "sso", None):
        await a_session(app, user, started_with)
    await a_session(app, user, "token", organization=other.id)
    assert await end_everywhere(app, user) == 4
    assert await end_everywhere(app, user) == 0
    assert await app.fetchval("SELECT count(*) FROM directory.session WHERE user_id = $1", user) == 0


async def test_binding_is_recorded_and_told_in_its_own_transaction(app: asyncpg.Connection, user: Any) -> None:
    phone = await begun(app, user)

    async def fails(db: asyncpg.Connection, user_id: Any) -> int:
        assert db.is_in_transaction()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=fails, at=NOW)
    assert (await effects(app, user), await letters(app, user)) == ([], [])
    assert not (await standing(app, user, at=NOW)).is_bound
    await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=no_sessions, origin=WHERE, at=NOW)
    assert (await effects(app, user), await letters(app, user)) == (["added"], ["factor_added"])
    row = await app.fetchrow("SELECT done_by, kind, origin::text FROM portcullis.factor_audit WHERE user_id = $1", user)
    assert dict(row) == {"done_by": user, "kind": "totp", "origin": '{"device": "Firefox on Linux", "address": "192.0.2.7"}'}


# A dormant account


async def test_a_dormant_account_proves_its_address_first(app: asyncpg.Connection, user: Any) -> None:
    """PyPI, 31 March 2024: forced enrolment let whoever had an old password enrol first."""
    for last_active_at in (None, NOW - timedelta(days=91)):
        account = Account(issuer="Kestrel", label="ada", last_active_at=last_active_at)
        assert await begin(app, KEYS, shown(user), account, at=NOW) == ProveAddress()
        proved = replace(account, address_proved_at=NOW - timedelta(minutes=5))
        assert isinstance(await begin(app, KEYS, shown(user), proved, at=NOW), Begun)


async def test_an_old_proof_of_the_address_is_none(app: asyncpg.Connection, user: Any) -> None:
    account = Account(issuer="Kestrel", label="ada", last_active_at=None, address_proved_at=NOW - timedelta(hours=2))
    assert await begin(app, KEYS, shown(user), account, at=NOW) == ProveAddress()


async def test_how_long_an_account_sleeps_is_the_apps_to_say(app: asyncpg.Connection, user: Any) -> None:
    account = Account(issuer="Kestrel", label="ada", last_active_at=NOW - timedelta(days=40))
    assert isinstance(await begin(app, KEYS, shown(user), account, at=NOW), Begun)
    assert await begin(app, KEYS, shown(user), account, dormant_after=timedelta(days=30), at=NOW) == ProveAddress()
    assert isinstance(await begin(app, KEYS, shown(user), account, dormant_after=None, at=NOW), Begun)


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


# Recovery codes


async def test_a_recovery_code_signs_in_once_and_tells_the_member(app: asyncpg.Connection, phone: Phone) -> None:
    await a_session(app, phone.user_id)
    first, second, *_ = phone.recovery_codes
    answer = await use(app, phone, first.lower().replace("-", " "), end_other_sessions=end_everywhere, origin=WHERE)
    assert isinstance(answer, Recovered)
    assert (answer.codes_left, answer.sessions_ended, answer.must_bind_again) == (9, 1, False)
    assert await use(app, phone, first) == Refused()
    left = await use(app, phone, second)
    assert isinstance(left, Recovered)
    assert left.codes_left == 8
    assert (await standing(app, phone.user_id, at=NOW)).recovery_codes_left == 8
    assert await letters(app, phone.user_id) == ["factor_added", "recovery_used", "recovery_used"]
    assert await effects(app, phone.user_id) == ["added", "recovery_used", "recovery_used"]
    facts = await app.fetchval("SELECT facts::text FROM portcullis.factor_letter WHERE letter = 'recovery_used' ORDER BY letter_id LIMIT 1")
    assert facts == '{"device": "Firefox on Linux", "address": "192.0.2.7", "codes_left": 9}'


async def test_a_recovery_code_goes_together_with_the_password_only(app: asyncpg.Connection, phone: Phone) -> None:
    for method in (FirstMethod.SSO, FirstMethod.SESSION):
        assert await use(app, phone, phone.recovery_codes[0], method=method) == Refused()
    assert isinstance(await use(app, phone, phone.recovery_codes[0]), Recovered)


async def test_what_is_no_recovery_code_is_refused(app: asyncpg.Connection, phone: Phone) -> None:
    for typed in ("", "ABCD", "A" * 24, "123456", "Ａ" * 24):  # noqa: RUF001 -- that is the point
        assert await use(app, phone, typed) == Refused()


async def test_somebody_elses_recovery_code_is_refused(app: asyncpg.Connection, phone: Phone) -> None:
    other = await enrolled(app, (await a_member(app, (await an_organization(app)).id)).id)
    assert await use(app, phone, other.recovery_codes[0]) == Refused()
    assert isinstance(await use(app, other, other.recovery_codes[0]), Recovered)


async def test_without_a_factor_there_is_nothing_to_recover(app: asyncpg.Connection, user: Any) -> None:
    assert await use(app, Phone(user_id=user, secret=""), "A" * 24) == Refused()


async def test_wrong_codes_of_the_app_do_not_lock_recovery_and_the_other_way_round(app: asyncpg.Connection, phone: Phone) -> None:
    for _ in range(20):
        await check(app, phone, phone.wrong())
        await use(app, phone, "A" * 24)
    assert isinstance(await use(app, phone, phone.recovery_codes[0]), Recovered)
    assert isinstance(await check(app, phone, at=NOW + timedelta(hours=2)), Accepted)


async def test_renewing_recovery_codes_needs_the_factor_and_forgets_the_old_ones(app: asyncpg.Connection, phone: Phone) -> None:
    assert await renew_recovery_codes(app, KEYS, shown(phone.user_id), at=NOW) == Refused()
    assert await renew_recovery_codes(app, KEYS, shown(phone.user_id), code=phone.wrong(), at=NOW) == Refused()
    made = await renew_recovery_codes(app, KEYS, shown(phone.user_id, FirstMethod.SESSION), code=phone.code(), at=NOW)
    assert isinstance(made, RecoveryCodes)
    assert not set(made.codes) & set(phone.recovery_codes)
    assert await use(app, phone, phone.recovery_codes[0]) == Refused()
    assert isinstance(await use(app, phone, made.codes[0]), Recovered)
    assert await effects(app, phone.user_id) == ["added", "recovery_renewed", "recovery_used"]


async def test_renewing_without_a_factor_is_refused(app: asyncpg.Connection, user: Any) -> None:
    assert await renew_recovery_codes(app, KEYS, shown(user), code="123456", at=NOW) == Refused()


# Replace


async def test_replacing_needs_the_present_factor(app: asyncpg.Connection, phone: Phone) -> None:
    for wrong in ({}, {"code": phone.wrong()}, {"ticket": "k1.x.1.y"}, {"code": phone.code(NOW - 2 * STEP)}):
        assert await begin(app, KEYS, shown(phone.user_id), ACCOUNT, dormant_after=None, at=NOW, **wrong) == Refused()


async def test_a_factor_is_replaced_without_a_gap(app: asyncpg.Connection, phone: Phone) -> None:
    later = NOW + 2 * STEP
    new = await begun(app, phone.user_id, code=phone.code(NOW - STEP))
    assert isinstance(await check(app, phone), Accepted), "until the new one is confirmed the old one works"
    answer = await confirm(app, KEYS, shown(phone.user_id), new.code(later), end_other_sessions=no_sessions, at=later)
    assert isinstance(answer, Confirmed)
    assert answer.has_replaced
    assert await check(app, phone, at=later + STEP) == Refused()
    assert isinstance(await check(app, new, at=later + STEP), Accepted)
    assert await use(app, phone, phone.recovery_codes[0]) == Refused(), "old recovery codes went with the old factor"
    assert await effects(app, phone.user_id) == ["added", "replaced"]


async def test_a_lost_phone_is_replaced_with_the_ticket_of_a_recovery_code(app: asyncpg.Connection, phone: Phone) -> None:
    recovered = await use(app, phone, phone.recovery_codes[0])
    assert isinstance(recovered, Recovered)
    new = await enrolled(app, phone.user_id, ticket=recovered.ticket)
    assert isinstance(await check(app, new), Accepted)
    again = await begin(app, KEYS, shown(phone.user_id), ACCOUNT, ticket=recovered.ticket, at=NOW)
    assert again == Refused(), "a new factor makes the ticket worthless"


async def test_somebody_elses_ticket_is_none(app: asyncpg.Connection, phone: Phone) -> None:
    thief = await enrolled(app, (await a_member(app, (await an_organization(app)).id)).id)
    recovered = await use(app, thief, thief.recovery_codes[0])
    assert isinstance(recovered, Recovered)
    assert await begin(app, KEYS, shown(phone.user_id), ACCOUNT, ticket=recovered.ticket, at=NOW) == Refused()


async def test_a_factor_of_another_kind_counts_and_is_not_passed_by(app: asyncpg.Connection, user: Any) -> None:
    """The table is open: a passkey protects its member, and a password does not bind a TOTP beside it."""
    await app.execute(
        "INSERT INTO portcullis.factor (factor_id, user_id, kind, confirmed_at) VALUES (gen_random_uuid(), $1, 'passkey', now())", user
    )
    assert await app.fetchval("SELECT portcullis.has_second_factor($1)", user)
    assert (await standing(app, user)).kinds == ("passkey",)
    assert await begin(app, KEYS, shown(user), ACCOUNT, at=NOW) == Refused()
    assert await verify(app, KEYS, shown(user), "123456", at=NOW) == Refused()


# Remove


async def test_a_member_removes_their_factor_by_showing_it(app: asyncpg.Connection, phone: Phone) -> None:
    await a_session(app, phone.user_id)
    how: dict[str, Any] = {"end_other_sessions": end_everywhere, "at": NOW}
    assert await remove(app, KEYS, shown(phone.user_id), **how) == Refused()
    assert await remove(app, KEYS, shown(phone.user_id), code=phone.wrong(), **how) == Refused()
    assert await remove(app, KEYS, shown(phone.user_id), code=phone.code(), **how) == Removed(sessions_ended=1)
    assert not (await standing(app, phone.user_id)).is_bound
    assert await use(app, phone, phone.recovery_codes[0]) == Refused()
    assert await effects(app, phone.user_id) == ["added", "removed"]
    assert await letters(app, phone.user_id) == ["factor_added", "factor_removed"]
    assert await remove(app, KEYS, shown(phone.user_id), code=phone.code(), **how) == Refused()


async def test_a_factor_that_is_required_stays(app: asyncpg.Connection, phone: Phone) -> None:
    """Vaultwarden 3798: the factor was removed after enforcement, and access stayed."""
    organization = await an_organization(app, name="Strict")
    await app.execute("SELECT app.join_organization($1, $2)", organization.id, phone.user_id)
    await require(app, organization.id, organization.admin.id)
    answer = await remove(app, KEYS, shown(phone.user_id), code=phone.code(), end_other_sessions=no_sessions, at=NOW)
    assert answer == StillRequired(organizations=(organization.id,))
    assert isinstance(await check(app, phone, at=NOW + STEP), Accepted)
    assert (await standing(app, phone.user_id, at=NOW)).recovery_codes_left == 10
    assert await effects(app, phone.user_id) == ["added"]

    await app.execute("SELECT app.leave_organization($1, $2)", organization.id, phone.user_id)
    later = NOW + 4 * STEP
    answer = await remove(app, KEYS, shown(phone.user_id), code=phone.code(later), end_other_sessions=no_sessions, at=later)
    assert isinstance(answer, Removed), "leaving lifts the requirement at once"


@pytest.mark.parametrize("spared", ["exempt", "sso", "own factor"])
async def test_who_complies_without_it_may_remove_it(app: asyncpg.Connection, spared: str) -> None:
    organization = await an_organization(app)
    member = await a_member(
        app, organization.id, kind="client", password=spared != "sso", sso=spared == "sso", factor=spared == "own factor"
    )
    await require(app, organization.id, organization.admin.id, exempt_kinds=["client"] if spared == "exempt" else [])
    phone = await enrolled(app, member.id)
    answer = await remove(app, KEYS, shown(phone.user_id), code=phone.code(), end_other_sessions=no_sessions, at=NOW)
    assert isinstance(answer, Removed)


# Sign in


async def test_a_sign_in_asks_in_its_transaction_and_holds_off_a_new_factor(app: asyncpg.Connection, user: Any, database_url: str) -> None:
    """The thief's sign-in found no factor; the owner's enrolment waits until its session is there, and ends it."""
    phone = await begun(app, user)
    with pytest.raises(NotInTransaction):
        await asks(app, user)
    thief = await asyncpg.connect(database_url)
    try:
        login = thief.transaction(isolation="read_committed")
        await login.start()
        assert await asks(thief, user) is False
        await app.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=end_everywhere, at=NOW)
        await a_session(thief, user)
        await login.commit()
    finally:
        await thief.close()
    answer = await confirm(app, KEYS, shown(user), phone.code(), end_other_sessions=end_everywhere, at=NOW)
    assert isinstance(answer, Confirmed)
    assert answer.sessions_ended == 1
    async with app.transaction():
        assert await asks(app, user) is True


async def test_a_sign_in_under_an_older_snapshot_is_told_so(app: asyncpg.Connection, user: Any) -> None:
    async with app.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.PostgresError, match="must run under READ COMMITTED"):
            await asks(app, user)


# What the rest of Portcullis sees


async def test_a_confirmed_factor_counts_through_the_directory(app: asyncpg.Connection) -> None:
    """Sentry 101794, PostHog 60503: two definitions of "has a second factor" trap people. Here the view's is the only one."""
    organization = await an_organization(app)
    member = await a_member(app, organization.id)
    await require(app, organization.id, organization.admin.id)
    assert await gate(app, member.id, organization.id) == "second_factor_setup"
    phone = await begun(app, member.id)
    assert await gate(app, member.id, organization.id) == "second_factor_setup"
    await confirm(app, KEYS, shown(member.id), phone.code(), end_other_sessions=no_sessions, at=NOW)
    assert await gate(app, member.id, organization.id) == "none"


async def test_with_the_question_in_the_view_the_gate_still_probes_indexes_only(app: asyncpg.Connection) -> None:
    organization = await an_organization(app)
    await app.execute("INSERT INTO app.users (password_hash) SELECT 'hash' FROM generate_series(1, 5000)")
    await app.execute(
        "INSERT INTO app.memberships (organization_id, user_id) SELECT $1, user_id FROM app.users ON CONFLICT DO NOTHING", organization.id
    )
    await app.execute(
        "INSERT INTO portcullis.factor (factor_id, user_id, kind, confirmed_at)"
        " SELECT gen_random_uuid(), user_id, 'passkey', now() FROM app.users"
    )
    await app.execute("ANALYZE")
    somebody = await app.fetchval("SELECT max(user_id) FROM app.users")
    looks = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'factor'"
    question = "SELECT user_id FROM directory.member WHERE organization_id = $1 AND has_second_factor AND user_id"
    for condition, argument, rows in (("= $2", somebody, 1), ("BETWEEN $2 AND $2 + 399", somebody - 400, 400)):
        async with app.transaction():
            before = await app.fetchrow(looks)
            found = await app.fetch(f"{question} {condition}", organization.id, argument)
            after = await app.fetchrow(looks)
        assert len(found) == rows
        assert (after["seq_scan"] - before["seq_scan"], after["idx_scan"] - before["idx_scan"]) == (0, rows)
