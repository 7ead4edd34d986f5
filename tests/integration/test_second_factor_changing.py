"""Recovery codes, and a factor that is replaced or removed."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobs.second_factor import (
    Accepted,
    Confirmed,
    FirstMethod,
    Recovered,
    RecoveryCodes,
    Refused,
    Removed,
    StillRequired,
    begin,
    confirm,
    end_everywhere,
    remove,
    renew_recovery_codes,
    standing,
    verify,
)
from tests.builders import a_member, a_session, an_organization
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
    use,
)
from tests.integration.switch_parts import require

pytest_plugins = ["tests.integration.second_factor_fixtures"]


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
