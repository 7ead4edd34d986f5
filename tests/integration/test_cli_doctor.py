"""`doctor` on real servers: all well, and each thing that can be wrong, named with what to do."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.client import require_second_factor
from jobs.store import workers
from tests.integration.broker_app.own_valkey import OwnValkey
from tests.integration.cli_runner import Cli
from tests.integration.main_app_people import a_member, an_admin, an_organization
from tests.relay import Relay, Rule, Stage
from workers.broker.account import ACCOUNT
from workers.cli.exit_codes import ExitCode
from workers.demo.main_app import IdType

CANARY = "canary-7f3a"
RING = "2025:" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def cli(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """With the whole configuration; the relay listens nowhere."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": f"smtp://mailer:{CANARY}@127.0.0.1:1",
        "MAIL_FROM": "Example Security <security@example.com>",
        "APP_URL": "https://app.example.com",
        "PORTCULLIS_KEYS": RING,
    }
    return Cli(monkeypatch, capsys, environment)


async def findings(cli: Cli, subject: str) -> list[tuple[str, str]]:
    """Run it, and return level and words of one subject. Whatever is not ok says what to do, and nothing tells a secret."""
    seen = await cli("doctor", "--json")
    for finding in seen.document["findings"]:
        assert finding["level"] in {"ok", "note"} or finding["to_do"]
    assert seen.document["healthy"] == (seen.code is ExitCode.OK)
    for secret in (CANARY, RING.partition(":")[2], "someone@example.com", "Someone"):
        assert secret not in seen.out + seen.err
    return [(one["level"], one["what"]) for one in seen.document["findings"] if one["subject"] == subject]


async def faults(cli: Cli, subject: str) -> list[str]:
    return [what for level, what in await findings(cli, subject) if level == "fault"]


async def an_app(db: asyncpg.Connection, *, users: int = 0) -> Any:
    """An organization with people, and tables that were analyzed."""
    organization = await an_organization(db)
    await a_member(db, organization, sessions=["password"])
    await db.execute(
        "WITH added AS (INSERT INTO app.users (email, password_hash) SELECT 'someone@example.com', 'x' FROM generate_series(1, $2::int)"
        " RETURNING user_id) INSERT INTO app.memberships (organization_id, user_id) SELECT $1, user_id FROM added",
        *(organization, users),
    )
    await db.execute("ANALYZE")
    return organization


@pytest.mark.parametrize("id_type", list(IdType), indirect=True)
async def test_all_is_well(cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, id_type: IdType) -> None:
    await an_app(db, users=20)
    for queue in ("enforce", "notify"):
        await workers.announce(db, f"host:1/{queue}", queue, 2, "0.1.0")
    await db.execute(
        "INSERT INTO portcullis.leader (role, holder, leased_until) VALUES ('conductor', 'host:2', now() + interval '1 minute')"
    )
    async with Relay() as relay:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{relay.port}")
        seen = await cli("doctor", "--json")
        assert seen.code is ExitCode.OK
        assert seen.document["healthy"] is True
        told = {one["subject"] for one in seen.document["findings"]}
        assert told == {"settings", "database", "contract", "plans", "roles", "broker", "relay", "keys", "clock", "workers"}
        told_of = [(one["level"], one["what"]) for one in seen.document["findings"]]
        # The embedded server of the tests does without fsync and without roles, and doctor says so.
        known = ("a crash of the server loses commits", "there are no roles")
        assert [what for level, what in told_of if level != "ok" and not what.startswith(known)] == []
        for view in ("organization", "member", "session", "end_sessions"):
            assert ("ok", f"directory.{view} is as it must be") in told_of
        text = await cli("doctor")
        assert text.code is ExitCode.OK
        assert "Nothing must be mended." in text.out
    assert relay.accepted == []


async def test_every_missing_variable_is_named_and_the_rest_is_looked_at(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMTP_URL", "MAIL_FROM", "PORTCULLIS_KEYS"):
        monkeypatch.delenv(name)
    assert [what.split()[0] for what in await faults(cli, "settings")] == ["SMTP_URL", "MAIL_FROM", "PORTCULLIS_KEYS"]
    assert (await findings(cli, "relay"))[0][0] == "note"
    assert (await findings(cli, "broker"))[0][0] == "ok"


async def test_without_any_variable_it_still_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "SMTP_URL", "MAIL_FROM", "APP_URL", "PORTCULLIS_KEYS"):
        monkeypatch.delenv(name)
    seen = await cli("doctor")
    assert seen.code is ExitCode.REFUSED
    assert "To mend: 6." in seen.out


async def test_a_database_that_is_away_is_one_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{CANARY}@127.0.0.1:1/app")
    [told] = await faults(cli, "database")
    assert "127.0.0.1:1/app" in told
    assert [level for level, _ in await findings(cli, "contract")] == ["note"]


async def test_without_the_schema_the_contract_is_looked_at_all_the_same(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, main_app_database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", main_app_database_url)
    assert await faults(cli, "database") == ["Portcullis is not installed in this database"]
    assert await faults(cli, "contract") == []


async def test_an_older_schema_is_named(cli: Cli, db: asyncpg.Connection) -> None:
    await db.execute("UPDATE portcullis.schema_version SET version_num = '0001'")
    [told] = await faults(cli, "database")
    assert "revision 0001" in told


async def test_another_isolation_by_default_is_a_fault(cli: Cli, db: asyncpg.Connection) -> None:
    name = await db.fetchval("SELECT current_database()")
    await db.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    assert await faults(cli, "database") == ["transactions are REPEATABLE READ by default"]


async def test_notifications_that_go_elsewhere_are_noticed(cli: Cli, monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL_DIRECT", empty_database_url)
    assert ("warning", "a notification does not arrive through DATABASE_URL_DIRECT") in await findings(cli, "database")


async def test_whatever_the_contract_lacks_is_named(cli: Cli, db: asyncpg.Connection) -> None:
    await db.execute("ALTER VIEW directory.session RENAME COLUMN started_with TO origin")
    await db.execute("DROP FUNCTION directory.end_sessions")
    told = await findings(cli, "contract")
    assert [what for level, what in told if level == "ok"] == [f"directory.{view} is as it must be" for view in ("organization", "member")]
    session, function = [what for level, what in told if level == "fault"]
    assert session == "directory.session has no column started_with"
    assert "directory.end_sessions" in function


async def test_a_view_that_repeats_somebody_is_named(cli: Cli, db: asyncpg.Connection) -> None:
    organization = await an_app(db)
    user = await a_member(db, organization, factor=True)
    await db.execute("INSERT INTO app.second_factors (user_id, kind, confirmed_at) VALUES ($1, 'passkey', now())", user)
    await db.execute(
        "CREATE OR REPLACE VIEW directory.member AS SELECT m.organization_id, m.user_id, u.email, true AS email_verified, u.display_name,"
        " u.locale, u.time_zone, m.kind, true AS has_password, false AS has_sso, f.user_id IS NOT NULL AS has_second_factor,"
        " true AS is_active"
        " FROM app.memberships m JOIN app.users u USING (user_id) LEFT JOIN app.second_factors f USING (user_id)"
    )
    assert await faults(cli, "contract") == [f"directory.member repeats members of organization {organization}: user {user} 2 times"]


async def test_a_function_that_cannot_run_is_found_before_it_matters(cli: Cli, db: asyncpg.Connection) -> None:
    await an_app(db)
    await db.execute(
        "CREATE OR REPLACE FUNCTION directory.end_sessions(organization_id bigint, user_ids bigint[], keep_sso boolean)"
        " RETURNS TABLE (user_id bigint, ended bigint) LANGUAGE plpgsql AS $$ BEGIN DELETE FROM app.gone; END $$"
    )
    [told] = await faults(cli, "contract")
    assert 'relation "app.gone" does not exist' in told


async def test_it_ends_nobodys_session(cli: Cli, db: asyncpg.Connection) -> None:
    await an_app(db)
    await findings(cli, "contract")
    assert await db.fetchval("SELECT count(*) FROM app.sessions WHERE ended_at IS NULL") == 1


async def test_plans_that_probe_are_fine_and_one_that_scans_is_named(cli: Cli, db: asyncpg.Connection) -> None:
    await an_app(db, users=3_000)
    await db.execute("INSERT INTO app.identities SELECT 'https://login.example.com', user_id::text, user_id FROM app.users")
    await db.execute("ANALYZE app.identities")
    assert [level for level, _ in await findings(cli, "plans")] == ["ok", "ok", "ok", "ok"]
    await db.execute("DROP INDEX app.identities_by_user")
    read_all = "makes directory.member read all of app.identities (about 3,001 rows)"
    assert await faults(cli, "plans") == [f"{who} {read_all}" for who in ("a request at the gate", "a sign-in", "a batch of 500")]


async def test_a_search_by_address_that_reads_everybody_is_noted(cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cli.doctor.plans.MANY_FOR_A_BATCH", 3_000)
    await an_app(db, users=3_000)
    await db.execute("DROP INDEX app.users_by_email")
    level, told = (await findings(cli, "plans"))[-1]
    assert (level, told) == ("note", "a search by address makes directory.member read all of app.users (about 3,001 rows)")


async def test_a_fact_computed_over_everybody_is_named_for_a_batch(
    cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.doctor.plans.MANY_FOR_A_BATCH", 3_000)
    await an_app(db, users=3_000)
    await db.execute("INSERT INTO app.second_factors (user_id, confirmed_at) SELECT user_id, now() FROM app.users")
    await db.execute(
        "CREATE OR REPLACE VIEW directory.member AS SELECT m.organization_id, m.user_id, u.email, true AS email_verified, u.display_name,"
        " u.locale, u.time_zone, m.kind, true AS has_password, false AS has_sso, f.has IS NOT NULL AS has_second_factor, true AS is_active"
        " FROM app.memberships m JOIN app.users u USING (user_id)"
        " LEFT JOIN (SELECT user_id, bool_or(true) AS has FROM app.second_factors GROUP BY user_id) f USING (user_id)"
    )
    await db.execute("ANALYZE")
    told = [what for what in await faults(cli, "plans") if what.startswith("a batch of 500 makes directory.member read all of")]
    assert len(told) == 1
    assert "app.second_factors (about 3,001 rows)" in told[0]


async def test_redis_away_is_a_fault_without_its_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{CANARY}@127.0.0.1:1/0")
    [told] = await faults(cli, "broker")
    assert told.startswith("Redis can't be reached")


async def test_redis_refusing_the_password_says_so(cli: Cli, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, _, rest = redis_url.partition("://")
    monkeypatch.setenv("REDIS_URL", f"{scheme}://nobody:{CANARY}@{rest.rpartition('@')[2]}")
    [told] = await faults(cli, "broker")
    assert told.startswith("Redis refuses us")


@pytest.fixture
def acl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let Portcullis sign in to a Valkey of its own with these rights."""
    valkey = OwnValkey(tmp_path)
    valkey.start()
    yield lambda rights: monkeypatch.setenv("REDIS_URL", valkey.signed_in("portcullis", *rights.split()))
    valkey.stop()


async def test_with_the_rights_that_are_documented_redis_is_well(cli: Cli, acl: Callable[[str], None]) -> None:
    acl(ACCOUNT)
    assert {level for level, _ in await findings(cli, "broker")} == {"ok"}


async def test_a_right_that_is_missing_in_redis_is_named(cli: Cli, acl: Callable[[str], None]) -> None:
    acl(ACCOUNT.replace("+info", ""))
    [(level, told)] = await findings(cli, "broker")
    assert (level, "not to INFO" in told) == ("warning", True)
    acl(ACCOUNT.replace("+evalsha", ""))
    [told] = await faults(cli, "broker")
    assert "'evalsha'" in told


async def test_a_relay_that_is_away_or_refuses_is_a_fault_with_its_stage(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    [away] = await faults(cli, "relay")
    assert away.startswith("127.0.0.1:1 fails at connect")
    async with Relay(rules=[Rule(stage=Stage.CONNECT, reply="554 5.7.1 go away")]) as relay:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{relay.port}")
        [refused] = await faults(cli, "relay")
        assert refused.endswith("fails at connect: 554 5.7.1 go away")


async def test_a_relay_without_starttls_or_auth_is_a_fault_at_that_stage(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Relay() as relay:
        monkeypatch.setenv("SMTP_URL", f"smtp+starttls://127.0.0.1:{relay.port}")
        [no_tls] = await faults(cli, "relay")
        assert "fails at tls" in no_tls
        monkeypatch.setenv("SMTP_URL", f"smtp://mailer:{CANARY}@127.0.0.1:{relay.port}")
        [no_auth] = await faults(cli, "relay")
        assert "fails at auth" in no_auth


async def test_a_wrong_key_ring_is_a_fault_and_one_that_others_do_not_share_is_noticed(
    cli: Cli, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workers.quarantine(db, "1" * 64, "enforce", "unknown_key", b"?")
    await workers.quarantine(db, "2" * 64, "enforce", "bad_signature", b"?")
    await workers.quarantine(db, "3" * 64, "enforce", "malformed", b"?")
    told = await findings(cli, "keys")
    assert ("ok", "1 in the ring: 2025 signs") in told
    assert ("warning", "2 messages of the last day were not signed with this ring") in told
    monkeypatch.setenv("PORTCULLIS_KEYS", f"2025:{CANARY}")
    [fault] = await faults(cli, "settings")
    assert fault == "PORTCULLIS_KEYS: key 1 (2025) must be the base64 of exactly 32 bytes"


async def test_nobody_working_is_a_fault_only_while_there_is_work(cli: Cli, db: asyncpg.Connection) -> None:
    assert [level for level, _ in await findings(cli, "workers")] == ["warning"] * 3
    organization = await an_organization(db)
    await require_second_factor(db, organization, requested_by=await an_admin(db, organization), reason=None)
    await workers.announce(db, "host:1/enforce", "enforce", 3, "0.0.9")
    assert await findings(cli, "workers") == [
        ("fault", "no conductor leads, and runs with something left to do: 1"),
        ("ok", "queue enforce: 1 processes, 3 batches at a time"),
        ("fault", "nobody serves the queue notify, and runs with something left to do: 1"),
        ("warning", "workers run 0.0.9, this is 0.1.0"),
    ]


async def test_a_check_that_breaks_takes_no_other_with_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("workers.cli.doctor.broker.check", broken)
    assert await faults(cli, "broker") == ["could not be looked at: RuntimeError: unforeseen"]
    assert (await findings(cli, "clock"))[0][0] == "ok"
