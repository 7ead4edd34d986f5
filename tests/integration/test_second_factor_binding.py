"""Binding a factor: begun, confirmed once, worth nothing before; a dormant account proves its address first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from jobs.second_factor import (
    Accepted,
    Account,
    Begun,
    Confirmed,
    NothingPending,
    ProveAddress,
    Refused,
    begin,
    confirm,
    end_everywhere,
    standing,
)
from tests.builders import a_session, an_organization
from tests.integration.second_factor_parts import (
    ACCOUNT,
    KEYS,
    NOW,
    STEP,
    WHERE,
    Phone,
    begun,
    check,
    effects,
    enrolled,
    letters,
    no_sessions,
    shown,
)
from tests.integration.switch_parts import EVERY_ID_TYPE

pytest_plugins = ["tests.integration.second_factor_fixtures"]


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
