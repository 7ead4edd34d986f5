"""The record of a run: complete, and whatever is done to it afterwards is found, each kind by its own name."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from jobs.audit import checkpoints, sealing, signing, verification
from jobs.audit.certificates import prove, text
from jobs.audit.findings import Kind
from jobs.audit.verification import Report, Trust, verify
from jobs.keys import Key, KeyRing, Purpose
from jobs.store.steering import Order, pauses
from jobs.store.steering.pauses import PauseScope
from tests.builders import a_member, an_organization
from tests.integration.cli_runner import Cli
from tests.pipeline.world import RING, World, a_world
from workers.cli.auditing import CODES
from workers.cli.exit_codes import ExitCode

TRUST = Trust.in_ring(RING)
OTHER = KeyRing((Key(id="k2", secret=bytes(range(1, 33))),))

TABLES = ("audit_entry", "audit_seal", "audit_checkpoint")


async def sealed(world: World, ring: KeyRing = RING) -> None:
    """Be the notary."""
    while (await sealing.seal(world.db, ring.current(Purpose.AUDIT)))[0]:
        pass
    await checkpoints.sign(world.db, ring)


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """A world of its own: what is done to it here, the checker would find too."""
    async with a_world(database_url, redis_url) as world:
        yield world


@pytest.fixture
async def run(world: World) -> int:
    """A run that is over, sealed and signed for."""
    organization = await an_organization(world.db, members=3)
    await a_member(world.db, organization.id, factor=True)
    run = await world.require(organization)
    await world.run_to_end(run)
    await sealed(world)
    return run


async def tampered(world: World, *statements: str) -> Report:
    """Change the record as somebody who may do everything, and verify it."""
    for table in TABLES:
        await world.db.execute(f"ALTER TABLE portcullis.{table} DISABLE TRIGGER only_added_to")
    for statement in statements:
        await world.db.execute(statement)
    return await verify(world.db, TRUST)


async def test_an_untouched_record_is_found_to_be_whole(world: World, run: int) -> None:
    report = await verify(world.db, TRUST)
    assert report.finding is None
    assert (report.members, report.checkpoints, report.waiting) == (5, 1, 0)
    effects = [row["effect"] for row in await world.db.fetch("SELECT effect FROM portcullis.audit_entry ORDER BY entry_id")]
    assert effects[:2] == ["required", "enforced"]
    assert sorted(effects[2:]) == ["finished", "notified", "notified", "notified"]
    assert report.entries == len(effects)


async def test_each_member_is_in_the_record_once_under_a_pseudonym(world: World, run: int) -> None:
    rows = await world.db.fetch(
        "SELECT d.verdict, d.sessions_ended, position(int8send(d.subject) IN e.records) > 0 AS is_there"
        " FROM portcullis.delivery d JOIN portcullis.audit_entry e ON e.run_id = d.run_id AND e.effect = 'enforced' WHERE d.slot = 'notice'"
    )
    assert len(rows) == 5
    assert all(row["is_there"] for row in rows)
    text = await world.db.fetchval("SELECT string_agg(facts::text, ' ') FROM portcullis.audit_entry")
    assert "kestrel.example" not in text


async def test_nobody_may_change_a_record_not_even_its_owner(world: World, run: int) -> None:
    for table in TABLES:
        for statement in (f"UPDATE portcullis.{table} SET key_id = 'x'", f"DELETE FROM portcullis.{table}", f"TRUNCATE portcullis.{table}"):
            with pytest.raises(Exception, match="only ever added to"):
                await world.db.execute(statement)


EDIT = 'UPDATE portcullis.audit_entry SET facts = \'{"because": "nobody"}\' WHERE entry_id = 3'
DELETE_BOTH = (
    "DELETE FROM portcullis.audit_seal WHERE place = 3",
    "DELETE FROM portcullis.audit_entry e WHERE NOT EXISTS (SELECT FROM portcullis.audit_seal s WHERE s.entry_id = e.entry_id)",
)
CLOSE_THE_GAP = (
    "UPDATE portcullis.audit_seal SET place = place + 1000 WHERE place > 3",
    "UPDATE portcullis.audit_seal SET place = place - 1001 WHERE place > 1000",
)
SHIFT = (
    "UPDATE portcullis.audit_seal SET place = place + 1000 WHERE place >= 3",
    "UPDATE portcullis.audit_seal SET place = place - 999 WHERE place >= 1000",
)
INSERT = (
    """INSERT INTO portcullis.audit_entry (run_id, effect, facts)
       SELECT run_id, 'required', facts FROM portcullis.audit_entry WHERE entry_id = 1""",
    "DELETE FROM portcullis.audit_unsealed",
    """INSERT INTO portcullis.audit_seal (run_id, place, entry_id, key_id, previous, digest)
       SELECT s.run_id, 3, (SELECT max(entry_id) FROM portcullis.audit_entry), 'k1', s.digest, sha256('guess')
       FROM portcullis.audit_seal s WHERE s.place = 2""",
)
CUT = (
    "DELETE FROM portcullis.audit_seal WHERE place >= 5",
    "DELETE FROM portcullis.audit_entry e WHERE NOT EXISTS (SELECT FROM portcullis.audit_seal s WHERE s.entry_id = e.entry_id)",
)
SWAP_PLACES = (
    "UPDATE portcullis.audit_seal SET place = 1003 WHERE place = 3",
    "UPDATE portcullis.audit_seal SET place = 3 WHERE place = 4",
    "UPDATE portcullis.audit_seal SET place = 4 WHERE place = 1003",
)
SWAP_ENTRIES = (
    "UPDATE portcullis.audit_seal SET entry_id = 9999 WHERE place = 3",
    "UPDATE portcullis.audit_seal SET entry_id = 3 WHERE place = 4",
    "UPDATE portcullis.audit_seal SET entry_id = 4 WHERE place = 3",
)

ATTACKS: dict[str, tuple[Kind, int | None, tuple[str, ...]]] = {
    "an entry is edited": (Kind.EDITED, 3, (EDIT,)),
    "a member's record is edited": (
        Kind.EDITED,
        2,
        ("UPDATE portcullis.audit_entry SET records = set_byte(records, 12, 9) WHERE effect = 'enforced'",),
    ),
    "an entry is moved to another time": (Kind.EDITED, 1, ("UPDATE portcullis.audit_entry SET happened_at = now() WHERE entry_id = 1",)),
    "a worker's code is taken away": (
        Kind.EDITED,
        2,
        ("UPDATE portcullis.audit_entry SET mac = NULL, key_id = NULL WHERE effect = 'enforced'",),
    ),
    "an entry is deleted": (Kind.MISSING, 3, ("DELETE FROM portcullis.audit_entry WHERE entry_id = 3",)),
    "an entry is deleted with its seal": (Kind.MISSING, 4, DELETE_BOTH),
    "an entry is deleted and the gap is closed": (Kind.MISSING, 3, (*DELETE_BOTH, *CLOSE_THE_GAP)),
    "a seal is deleted": (Kind.MISSING, 4, ("DELETE FROM portcullis.audit_seal WHERE place = 3",)),
    "an entry is put in": (Kind.INSERTED, 3, (*SHIFT, *INSERT)),
    "two entries change places": (Kind.REORDERED, 3, SWAP_PLACES),
    "two seals exchange their entries": (Kind.REORDERED, 3, SWAP_ENTRIES),
    "the end is cut off": (Kind.CUT_OFF, 6, CUT),
    "everything of the run is deleted": (Kind.CUT_OFF, 6, ("DELETE FROM portcullis.audit_seal", "DELETE FROM portcullis.audit_entry")),
    "a checkpoint is edited": (Kind.EDITED, None, ("UPDATE portcullis.audit_checkpoint SET body = replace(body, '6', '5')",)),
    "a key is named that is not in the ring": (Kind.UNKNOWN_KEY, 3, ("UPDATE portcullis.audit_seal SET key_id = 'k9' WHERE place = 3",)),
}


@pytest.mark.survives("the record is edited, reordered, added to, cut off", "I15")
@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_first_place_that_was_touched_is_found_when(world: World, run: int, attack: str) -> None:
    kind, place, statements = ATTACKS[attack]
    finding = (await tampered(world, *statements)).finding
    assert finding is not None
    assert (finding.kind, finding.place) == (kind, place), finding.words


EXCHANGE_RUNS = (
    "ALTER TABLE portcullis.{table} DROP CONSTRAINT IF EXISTS audit_seal_pkey",
    "UPDATE portcullis.{table} SET run_id = CASE run_id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE run_id END",
)


@pytest.mark.parametrize(
    ("tables", "kind"),
    [
        (("audit_seal",), Kind.REORDERED),
        (("audit_entry",), Kind.EDITED),
        (("audit_seal", "audit_entry"), Kind.EDITED),
        (("audit_seal", "audit_entry", "run", "batch", "delivery"), Kind.EDITED),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
async def test_two_runs_that_exchange_their_records_are_found(world: World, run: int, tables: tuple[str, ...], kind: Kind) -> None:
    other = await world.require(await an_organization(world.db, members=3))
    await world.run_to_end(other)
    await sealed(world)
    assert (run, other, (await verify(world.db, TRUST)).finding) == (1, 2, None)
    await world.db.execute("ALTER TABLE portcullis.batch DROP CONSTRAINT IF EXISTS batch_run_id_fkey")
    await world.db.execute("ALTER TABLE portcullis.run ALTER COLUMN run_id SET GENERATED BY DEFAULT")
    await world.db.execute("ALTER TABLE portcullis.run DROP CONSTRAINT run_pkey CASCADE")
    finding = (await tampered(world, *(statement.format(table=table) for table in tables for statement in EXCHANGE_RUNS))).finding
    assert finding is not None
    assert (finding.kind, finding.place) == (kind, 1)


async def test_an_entry_that_is_moved_to_another_run_with_its_seal_is_found(world: World, run: int) -> None:
    other = await world.require(await an_organization(world.db, members=1))
    await world.run_to_end(other)
    await sealed(world)
    moved = "(SELECT entry_id FROM portcullis.audit_entry WHERE run_id = 2 AND effect = 'enforced')"
    report = await tampered(
        world,
        "UPDATE portcullis.audit_seal SET place = place + 1 WHERE run_id = 1 AND place > 6",
        f"UPDATE portcullis.audit_seal SET run_id = 1, place = 7 WHERE entry_id = {moved}",
        f"UPDATE portcullis.audit_entry SET run_id = 1 WHERE entry_id = {moved}",
    )
    assert report.finding is not None
    assert (report.finding.kind, report.finding.run_id, report.finding.place) == (Kind.EDITED, 1, 7)


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in ATTACKS.values()}))
async def test_on_the_command_line_each_kind_has_its_exit_code_and_the_place_and_nothing_is_changed_by_looking(
    world: World, run: int, kind: Kind, *, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(
        monkeypatch, capsys, {"DATABASE_URL": database_url, "PORTCULLIS_KEYS": f"k1:{base64.b64encode(RING.keys[0].secret).decode()}"}
    )
    _, place, statements = next(attack for attack in ATTACKS.values() if attack[0] is kind)
    await tampered(world, *statements)
    rows = [await world.db.fetch(f"SELECT * FROM portcullis.{table} ORDER BY 1") for table in TABLES]
    told = await cli("audit", "verify", "--json")
    assert (told.code, told.document["whole"], told.document["finding"]["kind"]) == (CODES[kind], False, kind)
    assert told.document["finding"]["place"] == place
    said = await cli("audit", "verify", run)
    assert said.code is CODES[kind]
    assert "The record is not to be believed: run 1: " in said.err
    assert "What to do:" in said.err
    assert (await cli("prove", run)).code is CODES[kind]
    assert [await world.db.fetch(f"SELECT * FROM portcullis.{table} ORDER BY 1") for table in TABLES] == rows


async def test_on_the_command_line_a_ring_without_the_key_is_told_apart_from_a_record_that_was_touched(
    world: World, run: int, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"k2:{base64.b64encode(OTHER.keys[0].secret).decode()}"
    cli = Cli(monkeypatch, capsys, {"DATABASE_URL": database_url, "PORTCULLIS_KEYS": other})
    for command in (["audit", "verify"], ["prove", run]):
        told = await cli(*command)
        assert (told.code, "key k1, which is not in the ring" in told.err) == (ExitCode.AUDIT_UNKNOWN_KEY, True)


async def test_that_every_checkpoint_is_gone_is_found_a_while_after_whatever_seals_say_of_themselves(
    world: World, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "UNSEALED_SECONDS", 0)
    assert (await verify(world.db, TRUST)).finding is None
    report = await tampered(
        world,
        "DELETE FROM portcullis.audit_checkpoint",
        "ALTER TABLE portcullis.audit_seal ALTER COLUMN seal_id SET GENERATED BY DEFAULT",
        "UPDATE portcullis.audit_seal SET sealed_at = 'infinity', seal_id = -seal_id",
    )
    assert report.finding is not None
    assert report.finding.kind is Kind.NO_CHECKPOINT


async def test_a_certificate_is_no_checkpoint_though_it_is_signed_with_the_same_key(world: World, run: int) -> None:
    async with world.pool.acquire() as db:
        certificate = await prove(db, RING, run)
    await world.db.execute("ALTER TABLE portcullis.audit_checkpoint DISABLE TRIGGER only_added_to")
    await world.db.execute(
        "UPDATE portcullis.audit_checkpoint SET body = $1, signature = $2", text(certificate.stated).decode(), certificate.signature
    )
    finding = (await verify(world.db, TRUST)).finding
    assert finding is not None
    assert (finding.kind, finding.words) == (Kind.EDITED, "checkpoint 1 is none, though somebody signed it")


async def test_a_missing_checkpoint_between_others_is_found(world: World, run: int) -> None:
    for _ in range(2):
        await world.db.execute("SELECT portcullis.write_audit(0, 'tried', '{}')")
        await sealed(world)
    report = await tampered(world, "DELETE FROM portcullis.audit_checkpoint WHERE number = 2")
    assert report.finding is not None
    assert (report.finding.kind, report.finding.words) == (Kind.NO_CHECKPOINT, "checkpoint 2 is gone")


async def test_the_last_checkpoints_gone_with_what_they_saw_are_missed_by_whoever_kept_a_mark(world: World, run: int) -> None:
    await world.db.execute("SELECT portcullis.write_audit(0, 'tried', '{}')")
    await sealed(world)
    kept = (await verify(world.db, TRUST)).last_mark
    assert kept is not None
    clean_cut = (
        "DELETE FROM portcullis.audit_checkpoint WHERE number = 2",
        "DELETE FROM portcullis.audit_seal WHERE run_id = 0",
        "DELETE FROM portcullis.audit_entry WHERE run_id = 0",
    )
    assert (await tampered(world, *clean_cut)).finding is None
    finding = (await verify(world.db, replace(TRUST, witnesses={2: kept}))).finding
    assert finding is not None
    assert finding.kind is Kind.NO_CHECKPOINT


@pytest.mark.parametrize("vouched", ["key_id, mac", "NULL, NULL"], ids=["with another one's code", "without a code"])
async def test_an_entry_that_no_worker_wrote_is_found_though_it_was_sealed(world: World, run: int, vouched: str) -> None:
    await world.db.execute(
        "INSERT INTO portcullis.audit_entry (run_id, effect, batch_id, facts, key_id, mac)"
        f" SELECT run_id, effect, batch_id, facts, {vouched} FROM portcullis.audit_entry WHERE effect = 'enforced'"
    )
    await sealed(world)
    finding = (await verify(world.db, TRUST)).finding
    assert finding is not None
    assert finding.kind is Kind.INSERTED


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE portcullis.batch SET sessions_ended = sessions_ended - 1 WHERE stage = 'enforce'", Kind.DISAGREES),
        ("UPDATE portcullis.delivery SET sessions_ended = 0 WHERE verdict = 'unprotected' AND slot = 'notice'", Kind.DISAGREES),
        ("UPDATE portcullis.run SET epoch = 7", Kind.DISAGREES),
        (
            "INSERT INTO portcullis.batch (run_id, stage, state, done_at) SELECT run_id, 'enforce', 'done', now() FROM portcullis.run",
            Kind.MISSING,
        ),
        ("DELETE FROM portcullis.run", Kind.DISAGREES),
        ("UPDATE portcullis.run SET requested_by = requested_by + 1", Kind.DISAGREES),
        ("UPDATE portcullis.run SET requested_by = NULL", Kind.DISAGREES),
        ("UPDATE portcullis.run SET reason = 'another one'", Kind.DISAGREES),
        ("UPDATE portcullis.run SET totals = jsonb_set(totals, '{letters,accepted}', '9')", Kind.DISAGREES),
        ("UPDATE portcullis.run SET state = 'cancelled'", Kind.INSERTED),
        ("UPDATE portcullis.run SET forgotten_at = now()", Kind.MISSING),
        ("UPDATE portcullis.delivery SET subject = NULL WHERE slot = 'notice'", Kind.DISAGREES),
        (
            "UPDATE portcullis.batch SET accepted = accepted - 1, refused = refused + 1 WHERE stage = 'notice' AND accepted > 1",
            Kind.DISAGREES,
        ),
        ("UPDATE portcullis.policy SET required = false", Kind.DISAGREES),
        (
            """ALTER TABLE portcullis.policy DISABLE TRIGGER audit_change;
               UPDATE portcullis.policy SET effective_at = now() + interval '9 days'""",
            Kind.DISAGREES,
        ),
        (
            "ALTER TABLE portcullis.policy DISABLE TRIGGER audit_change; UPDATE portcullis.policy SET exempt_kinds = '{employee}'",
            Kind.DISAGREES,
        ),
        ("SELECT portcullis.write_audit(1, 'finished', '{}')", Kind.INSERTED),
    ],
)
async def test_a_ledger_that_was_changed_no_longer_agrees_with_the_record(world: World, run: int, statement: str, kind: Kind) -> None:
    finding = (await tampered(world, statement)).finding
    assert finding is not None
    assert (finding.kind, finding.run_id) == (kind, run), finding.words


async def test_an_entry_that_can_not_be_read_is_a_finding_and_not_a_failure(world: World, run: int) -> None:
    await world.db.execute("SELECT portcullis.write_audit(1, 'notified', '{\"accepted\": \"many\"}', 4)")
    async with verification.one_snapshot(world.db):  # as a certificate asks
        finding = (await verify(world.db, TRUST, run)).finding
    assert finding is not None
    assert (finding.kind, finding.run_id) == (Kind.INSERTED, run), finding.words


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE portcullis.action SET reason = 'another one'", Kind.DISAGREES),
        ("DELETE FROM portcullis.action WHERE verb = 'resume'", Kind.DISAGREES),
        (
            """ALTER TABLE portcullis.action DISABLE TRIGGER audit_action;
               INSERT INTO portcullis.action (actor, via, verb, reason) VALUES ('x', 'cli', 'tried', 'x')""",
            Kind.MISSING,
        ),
        (
            "SELECT portcullis.write_audit(e.run_id, 'ordered', e.facts::jsonb) FROM portcullis.audit_entry e WHERE e.effect = 'ordered'",
            Kind.INSERTED,
        ),
    ],
)
async def test_orders_that_were_changed_no_longer_agree_with_the_record(world: World, run: int, statement: str, kind: Kind) -> None:
    order = Order(actor="mara", via="cli", reason="the relay is on fire")
    await pauses.pause(world.pool, order, PauseScope.QUEUE, "notify")
    await pauses.resume(world.pool, order, PauseScope.QUEUE, "notify")
    await sealed(world)
    assert (await verify(world.db, TRUST)).finding is None
    finding = (await tampered(world, statement)).finding
    assert finding is not None
    assert (finding.kind, finding.run_id) == (kind, 0), finding.words


@pytest.mark.survives("key rotation mid-run", "I8 I10 I15")
async def test_a_ring_that_changed_in_the_middle_verifies_under_both_keys_and_not_under_one(world: World) -> None:
    organization = await an_organization(world.db, members=2)
    run = await world.require(organization)
    await world.enforce_all(run)
    await sealed(world)
    both = KeyRing((*OTHER.keys, *RING.keys))
    world.resources = replace(world.resources, audit_key=both.current(Purpose.AUDIT))
    await world.run_to_end(run)
    await sealed(world, both)
    assert (await verify(world.db, Trust.in_ring(both))).finding is None
    finding = (await verify(world.db, TRUST)).finding
    assert finding is not None
    assert finding.kind is Kind.UNKNOWN_KEY


async def test_a_checkpoint_signed_by_somebody_else_is_not_believed(world: World, run: int) -> None:
    trust = replace(TRUST, public_keys={"k1": signing.public_keys(OTHER)["k2"]})
    finding = (await verify(world.db, trust)).finding
    assert finding is not None
    assert finding.kind is Kind.EDITED


async def test_what_is_not_sealed_yet_is_counted_and_no_fault(world: World) -> None:
    organization = await an_organization(world.db, members=1)
    await world.run_to_end(await world.require(organization))
    report = await verify(world.db, TRUST)
    assert report.finding is None
    assert report.waiting == 6
