"""The gate at 1,000,000 members: index probes only, a handful of rows, whatever plan PostgreSQL keeps."""

from typing import TypeAlias

import asyncpg

from tests.integration.plans import explained, used

Db: TypeAlias = asyncpg.Connection

SEED = """
    SET session_replication_role = replica;  -- rows refer to each other by construction
    SET synchronous_commit = off;
    ALTER TABLE app.memberships DROP CONSTRAINT memberships_pkey CASCADE;
    DROP INDEX app.memberships_by_user;
    INSERT INTO app.organizations (name) SELECT 'organization ' || n FROM generate_series(1, 5000) n;
    INSERT INTO app.users (email, password_hash) SELECT n || '@example.com', 'hash' FROM generate_series(1, 1000000) n;
    INSERT INTO app.memberships (organization_id, user_id)  -- one large organization, thousands of small ones
    SELECT CASE WHEN n % 2 = 0 THEN 1 ELSE n % 4999 + 2 END, n FROM generate_series(1, 1000000) n
    UNION ALL
    SELECT CASE WHEN n % 2 = 0 THEN n % 4999 + 2 ELSE 1 END, n FROM generate_series(1, 1000000, 10) n;
    ALTER TABLE app.memberships ADD PRIMARY KEY (organization_id, user_id);
    CREATE INDEX memberships_by_user ON app.memberships (user_id, organization_id);
    INSERT INTO app.second_factors (user_id, confirmed_at)
    SELECT n, CASE WHEN n % 3 > 0 THEN now() END FROM generate_series(1, 1000000, 4) n;
    INSERT INTO app.identities SELECT 'https://login.example.com', n::text, n FROM generate_series(1, 1000000, 7) n;
    INSERT INTO portcullis.policy (organization_id, required, epoch, changed_by) SELECT n, n % 10 > 0, 1, 1 FROM generate_series(1, 4000) n;
    ANALYZE app.organizations, app.users, app.memberships, app.second_factors, app.identities, portcullis.policy
"""

QUESTIONS = (
    "SELECT portcullis.gate({user}, {organization}, 'password')",
    "SELECT portcullis.gate({user}, NULL, 'password')",
    "SELECT portcullis.sign_in_requirement({user}, 'password')",
)

USERS = (2, 4, 5, 11, 21, 500_000, 500_001, 999_991, 1_000_000, 5_000_000)
"""With and without a factor, in one and in two organizations, and one that is not there."""


async def test_the_gate_is_index_probes_only(db: Db) -> None:
    await db.execute(SEED)
    for mode in ("auto", "force_generic_plan", "force_custom_plan"):
        await db.execute(f"SET plan_cache_mode = {mode}")
        async with used(db) as tables:
            for question in questions():
                await db.fetchval(question)
        assert {table for table, use in tables.items() if use.seq_scans} == set(), mode
    async with explained(db) as seen:
        for mode in ("auto", "force_generic_plan", "force_custom_plan"):
            await db.execute(f"SET plan_cache_mode = {mode}")
            for question in questions():
                seen.clear()
                await db.fetchval(question)
                assert seen, "its statements were seen"
                assert [scan for scan in seen if not scan.is_probe] == [], (mode, question)
                assert sum(scan.rows for scan in seen) < 30, (mode, question, seen)


def questions() -> list[str]:
    return [question.format(user=user, organization=user % 4999 + 2 if user % 2 else 1) for user in USERS for question in QUESTIONS]
