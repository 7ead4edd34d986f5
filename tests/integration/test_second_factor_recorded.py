"""What happens to second factors is in the record: one entry an event, in its transaction, under pseudonyms, sealed like all others."""

import json
from typing import Any

import asyncpg
import pytest

from jobs import client
from jobs.audit import checkpoints, sealing
from jobs.audit.findings import Finding, Kind
from jobs.audit.verification import Trust, verify
from jobs.keys import Purpose
from jobs.store import audit
from jobs.store.roles import Role
from tests.builders import a_member, an_organization
from tests.conftest import Databases
from tests.integration.second_factor_parts import KEYS, WHERE, Phone, effects, enrolled, use
from tests.role_parts import a_database_with_roles, acting_as

EVENTS = "SELECT entry_id, xmin::text AS xid, facts::text AS facts FROM portcullis.audit_entry WHERE effect = 'factor' ORDER BY entry_id"


@pytest.fixture
async def phone(db: asyncpg.Connection) -> Phone:
    """Somebody who set up a factor, then signed in with a recovery code."""
    organization = await an_organization(db)
    phone = await enrolled(db, (await a_member(db, organization.id, sessions=())).id)
    await use(db, phone, phone.recovery_codes[0], origin=WHERE)
    return phone


async def found(db: asyncpg.Connection) -> Finding | None:
    """Be the notary, then verify."""
    await sealing.seal(db, KEYS.current(Purpose.AUDIT))
    await checkpoints.sign(db, KEYS)
    return (await verify(db, Trust.in_ring(KEYS))).finding


async def entries(db: asyncpg.Connection) -> list[dict[str, Any]]:
    return [json.loads(row["facts"]) for row in await db.fetch(EVENTS)]


async def test_each_event_has_one_entry_in_its_transaction_that_names_nobody(db: asyncpg.Connection, phone: Phone) -> None:
    rows = await db.fetch("SELECT audit_id, xmin::text AS xid FROM portcullis.factor_audit ORDER BY audit_id")
    told = await entries(db)
    assert [facts["what"] for facts in told] == await effects(db, phone.user_id)
    assert {"added", "recovery_used"} <= {facts["what"] for facts in told}
    assert [(facts["event"], entry["xid"]) for facts, entry in zip(told, await db.fetch(EVENTS), strict=True)] == [
        tuple(row) for row in rows
    ]
    whose = await db.fetchval("SELECT subject::text FROM portcullis.audit_person WHERE user_id = $1", phone.user_id)
    assert {facts["whose"] for facts in told} == {whose}
    assert "192.0.2.7" not in json.dumps(told)
    assert await found(db) is None
    assert (await audit.check(db, "I15"))[0] == 0


async def test_an_event_that_is_rolled_back_has_none(db: asyncpg.Connection, phone: Phone) -> None:
    before = len(await entries(db))
    transaction = db.transaction()
    await transaction.start()
    await use(db, phone, phone.recovery_codes[1])
    await transaction.rollback()
    assert len(await entries(db)) == before


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE portcullis.factor_audit SET effect = 'replaced'", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET reason = 'she called'", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET origin = '{}' WHERE effect = 'recovery_used'", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET happened_at = now()", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET user_id = user_id + 1", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET user_id = NULL, subject = gen_random_uuid()", Kind.DISAGREES),
        ("UPDATE portcullis.factor_audit SET done_by = NULL", Kind.DISAGREES),
        ("DELETE FROM portcullis.factor_audit WHERE effect = 'added'", Kind.DISAGREES),
        (
            """ALTER TABLE portcullis.factor_audit DISABLE TRIGGER audit_factor;
               INSERT INTO portcullis.factor_audit (effect, user_id) VALUES ('removed', 1)""",
            Kind.MISSING,
        ),
        (
            "SELECT portcullis.write_audit(NULL, 'factor', facts::jsonb) FROM portcullis.audit_entry WHERE facts ->> 'what' = 'added'",
            Kind.INSERTED,
        ),
    ],
)
async def test_events_that_were_changed_no_longer_agree_with_the_record(
    db: asyncpg.Connection, phone: Phone, statement: str, kind: Kind
) -> None:
    assert await found(db) is None
    await db.execute(statement)
    finding = await found(db)
    assert finding is not None
    assert (finding.kind, finding.run_id) == (kind, 0), finding.words
    if kind is Kind.MISSING:
        assert (await audit.check(db, "I15"))[0] == 1


async def test_whoever_is_erased_leaves_the_record_whole_and_nothing_to_find_out_by_trying(db: asyncpg.Connection, phone: Phone) -> None:
    await db.execute("DELETE FROM app.memberships WHERE user_id = $1", phone.user_id)
    await client.erase_member(db, phone.user_id, reason="asked for it")
    assert await db.fetchval("SELECT count(salt) FROM portcullis.factor_audit") == 0
    assert await found(db) is None


async def test_an_event_from_before_the_record_of_them_is_missed_by_nobody(db: asyncpg.Connection, phone: Phone) -> None:
    await db.execute(
        """ALTER TABLE portcullis.factor_audit DISABLE TRIGGER audit_factor;
           INSERT INTO portcullis.factor_audit (audit_id, effect, user_id, salt) OVERRIDING SYSTEM VALUE VALUES (-1, 'added', 1, NULL)"""
    )
    assert await found(db) is None
    assert (await audit.check(db, "I15"))[0] == 0


async def test_whoever_looks_at_codes_writes_these_entries_and_no_others(databases: Databases) -> None:
    with a_database_with_roles(databases) as url:
        superuser = await asyncpg.connect(url)
        member = await a_member(superuser, (await an_organization(superuser)).id, sessions=())
        async with acting_as(url, Role.VERIFIER) as verifier:
            await enrolled(verifier, member.id)
            for statement in ("SELECT portcullis.write_audit(1, 'finished', '{}')", "INSERT INTO portcullis.audit_entry DEFAULT VALUES"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await verifier.execute(statement)
        assert [facts["what"] for facts in await entries(superuser)] == ["added"]
        await superuser.close()
