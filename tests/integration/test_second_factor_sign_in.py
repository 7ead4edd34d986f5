"""What a sign-in, the directory and the gate see of a factor."""

from typing import Any

import asyncpg
import pytest

from jobs.second_factor import (
    Confirmed,
    NotInTransaction,
    asks,
    confirm,
    end_everywhere,
)
from tests.builders import a_member, a_session, an_organization
from tests.integration.second_factor_parts import KEYS, NOW, begun, no_sessions, shown
from tests.integration.switch_parts import gate, require

pytest_plugins = ["tests.integration.second_factor_fixtures"]


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
