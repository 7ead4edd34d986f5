"""An admin takes a factor away: who may, for whom, with which consequences, and what happens to the last admin."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobs.client import NotAMember, NotCompliant, UnknownOrganization
from jobs.second_factor import (
    Begun,
    LastAdmin,
    NoFactor,
    NoReason,
    NotTheirOrganization,
    Origin,
    OwnFactor,
    ProveAddress,
    Refused,
    Reset,
    begin,
    recover,
    reset,
    standing,
    verify,
)
from tests.builders import Organization, a_member, a_session, an_organization
from tests.integration.second_factor_parts import ACCOUNT, COUNTED_BY_PORTCULLIS, KEYS, NOW, Phone, enrolled, no_sessions, shown
from tests.integration.switch_parts import EVERY_ID_TYPE, require


@pytest.fixture
async def app(db: asyncpg.Connection) -> asyncpg.Connection:
    await db.execute(COUNTED_BY_PORTCULLIS)
    return db


@pytest.fixture
async def organization(app: asyncpg.Connection) -> Organization:
    return await an_organization(app)


@pytest.fixture
async def phone(app: asyncpg.Connection, organization: Organization) -> Phone:
    return await enrolled(app, (await a_member(app, organization.id, sessions=())).id)


async def take_away(db: asyncpg.Connection, organization: Organization, user_id: Any, **how: Any) -> Reset:
    how = {"organization_id": organization.id, "done_by": organization.admin.id, "reason": "Lost the phone and the codes", **how}
    return await reset(db, user_id, **how, at=NOW)


@EVERY_ID_TYPE
async def test_a_reset_takes_everything_away_ends_all_sessions_tells_and_records(
    app: asyncpg.Connection, organization: Organization, phone: Phone
) -> None:
    for started_with in ("password", "sso"):
        await a_session(app, phone.user_id, started_with)
    where = Origin(address="198.51.100.4")
    assert await take_away(app, organization, phone.user_id, origin=where) == Reset(kinds=("totp",), sessions_ended=2, is_override=False)
    found = await standing(app, phone.user_id)
    assert (found.is_bound, found.recovery_codes_left) == (False, 0)
    assert await verify(app, KEYS, shown(phone.user_id), phone.code(), at=NOW) == Refused()
    answer = await recover(app, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    assert answer == Refused()
    assert await app.fetchval("SELECT count(*) FROM directory.session WHERE user_id = $1", phone.user_id) == 0
    row = await app.fetchrow(
        "SELECT done_by, organization_id, kind, reason, is_override, sessions_ended FROM portcullis.factor_audit WHERE effect = 'reset'"
    )
    assert dict(row) == {
        "done_by": organization.admin.id,
        "organization_id": organization.id,
        "kind": "totp",
        "reason": "Lost the phone and the codes",
        "is_override": False,
        "sessions_ended": 2,
    }
    letter = await app.fetchrow("SELECT letter, done_by FROM portcullis.factor_letter ORDER BY letter_id DESC LIMIT 1")
    assert tuple(letter) == ("factor_reset", organization.admin.id)


async def test_after_a_reset_only_whoever_has_the_address_enrols(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    """Otherwise a reset hands the account to whoever has the password: the thief may be waiting for it."""
    await take_away(app, organization, phone.user_id)
    how: dict[str, Any] = {"dormant_after": None, "at": NOW + timedelta(minutes=5)}
    assert await begin(app, KEYS, shown(phone.user_id), ACCOUNT, **how) == ProveAddress()
    before = replace(ACCOUNT, address_proved_at=NOW - timedelta(minutes=1))
    assert await begin(app, KEYS, shown(phone.user_id), before, **how) == ProveAddress()
    since = replace(ACCOUNT, address_proved_at=NOW + timedelta(minutes=4))
    assert isinstance(await begin(app, KEYS, shown(phone.user_id), since, **how), Begun)


async def test_a_reset_forgets_failures_and_what_was_begun(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    for _ in range(7):
        await verify(app, KEYS, shown(phone.user_id), phone.wrong(), at=NOW)
    await begin(app, KEYS, shown(phone.user_id), ACCOUNT, code=phone.code(NOW + timedelta(minutes=1)), at=NOW + timedelta(minutes=1))
    await take_away(app, organization, phone.user_id)
    assert await app.fetchval("SELECT count(*) FROM portcullis.pending_factor") == 0
    assert await app.fetchval("SELECT failures FROM portcullis.holder WHERE user_id = $1", phone.user_id) == 0


async def test_factors_of_every_kind_go_and_each_is_recorded(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    await app.execute(
        "INSERT INTO portcullis.factor (factor_id, user_id, kind, confirmed_at) VALUES (gen_random_uuid(), $1, 'passkey', now())",
        phone.user_id,
    )
    assert (await take_away(app, organization, phone.user_id)).kinds == ("passkey", "totp")
    rows = await app.fetch("SELECT kind FROM portcullis.factor_audit WHERE effect = 'reset' ORDER BY kind")
    assert [row["kind"] for row in rows] == ["passkey", "totp"]


async def test_a_reset_needs_a_reason(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    for reason in ("", "   ", "\0", "x" * 501):
        with pytest.raises(NoReason, match="1 to 500 characters"):
            await take_away(app, organization, phone.user_id, reason=reason)
    assert (await standing(app, phone.user_id)).is_bound


async def test_nobody_resets_their_own_factor(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    """A thief with the session of an admin who is signed in would."""
    with pytest.raises(OwnFactor):
        await take_away(app, organization, phone.user_id, done_by=phone.user_id)
    with pytest.raises(OwnFactor):
        await take_away(app, organization, str(phone.user_id), done_by=phone.user_id)


async def test_only_an_active_member_who_complies_resets_and_only_members_of_the_same_organization(
    app: asyncpg.Connection, organization: Organization, phone: Phone
) -> None:
    other = await an_organization(app, name="Other")
    unprotected = await a_member(app, organization.id)
    inactive = await a_member(app, organization.id, factor=True, active=False)
    with pytest.raises(NotCompliant):
        await take_away(app, organization, phone.user_id, done_by=unprotected.id)
    with pytest.raises(NotAMember):
        await take_away(app, organization, phone.user_id, done_by=inactive.id)
    with pytest.raises(NotAMember):
        await take_away(app, organization, phone.user_id, done_by=other.admin.id)
    with pytest.raises(UnknownOrganization):
        await take_away(app, organization, phone.user_id, organization_id=999_999)
    with pytest.raises(NotTheirOrganization, match="is not a member of organization"):
        await take_away(app, other, phone.user_id)
    assert (await standing(app, phone.user_id)).is_bound


async def test_there_must_be_something_to_reset(app: asyncpg.Connection, organization: Organization) -> None:
    member = await a_member(app, organization.id)
    with pytest.raises(NoFactor, match="nothing to reset"):
        await take_away(app, organization, member.id)
    assert await app.fetchval("SELECT count(*) FROM portcullis.factor_audit") == 0


async def test_a_reset_is_all_or_nothing(app: asyncpg.Connection, organization: Organization, phone: Phone) -> None:
    async def fails(db: asyncpg.Connection, user_id: Any) -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await take_away(app, organization, phone.user_id, end_sessions=fails)
    assert (await standing(app, phone.user_id)).recovery_codes_left == 10
    async with app.transaction():
        await take_away(app, organization, phone.user_id)
        assert app.is_in_transaction(), "a part of the app's own"


# The last admin


@pytest.fixture
async def only_admin(app: asyncpg.Connection, organization: Organization) -> Phone:
    """The only admin who complies, with a factor of Portcullis; the app tells who its admins are, and support is none of them."""
    await app.execute("CREATE TABLE app.admins (organization_id bigint, user_id bigint)")
    await app.execute("CREATE VIEW directory.admin AS SELECT organization_id, user_id FROM app.admins")
    phone = await enrolled(app, (await a_member(app, organization.id)).id)
    unprotected = await a_member(app, organization.id)
    for user in (phone.user_id, unprotected.id):
        await app.execute("INSERT INTO app.admins VALUES ($1, $2)", organization.id, user)
    return phone


async def test_the_last_admin_who_complies_is_not_reset_without_an_override_that_is_recorded(
    app: asyncpg.Connection, organization: Organization, only_admin: Phone
) -> None:
    """Nextcloud 20783: the only admin was locked out."""
    await require(app, organization.id, organization.admin.id)
    with pytest.raises(LastAdmin, match="Let another admin set up two-factor authentication first, or reset with override=True") as raised:
        await take_away(app, organization, only_admin.user_id)
    assert raised.value.organizations == (organization.id,)
    assert (await standing(app, only_admin.user_id)).is_bound
    done = await take_away(app, organization, only_admin.user_id, override=True)
    assert done.is_override
    assert await app.fetchval("SELECT is_override FROM portcullis.factor_audit WHERE effect = 'reset'")


async def test_with_another_admin_who_complies_it_is_an_ordinary_reset(
    app: asyncpg.Connection, organization: Organization, only_admin: Phone
) -> None:
    await require(app, organization.id, organization.admin.id)
    second = await a_member(app, organization.id, password=False, sso=True)
    await app.execute("INSERT INTO app.admins VALUES ($1, $2)", organization.id, second.id)
    assert not (await take_away(app, organization, only_admin.user_id, override=True)).is_override, (
        "an override that was not needed is none"
    )


async def test_where_nothing_is_required_nobody_is_locked_out(
    app: asyncpg.Connection, organization: Organization, only_admin: Phone
) -> None:
    assert not (await take_away(app, organization, only_admin.user_id)).is_override


async def test_without_a_view_of_admins_whoever_switched_is_the_one_that_is_known(app: asyncpg.Connection, phone: Phone) -> None:
    """They run another organization alone; here somebody else resets them."""
    here, there = await an_organization(app, name="Here"), await an_organization(app, name="There")
    for place in (here, there):
        await app.execute("SELECT app.join_organization($1, $2)", place.id, phone.user_id)
    await require(app, there.id, phone.user_id)
    with pytest.raises(LastAdmin) as raised:
        await take_away(app, here, phone.user_id)
    assert raised.value.organizations == (there.id,)
    assert not (await take_away(app, there, phone.user_id)).is_override, "whoever resets is an admin there, and complies"
