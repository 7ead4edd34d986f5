"""Every page shows what there is, to whoever may look; and nothing but a clear page comes of a wrong address."""

import asyncpg
import pytest

from jobs.client import require_second_factor
from jobs.store import workers
from tests.builders import a_member, an_organization
from tests.integration.console.browser import Visitor
from workers.console.protection import HEADERS

PAGES = ("/", "/runs", "/members", "/queues", "/dead", "/workers", "/limits", "/reconciler", "/audit", "/emergency", "/account")


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_there_while_nothing_ever_ran(mara: Visitor, path: str) -> None:
    shown = await mara.get(path)
    assert shown.status_code == 200, shown.text
    assert "<h1>" in shown.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_viewer_sees_each_page_and_no_form_to_act_with(vera: Visitor, path: str) -> None:
    shown = await vera.get(path)
    assert shown.status_code == 200, shown.text
    assert 'name="reason"' not in shown.text


async def test_a_run_is_shown_with_a_masked_member(mara: Visitor, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    ada = await a_member(db, organization.id, email="ada.lovelace@analytical.example")
    run = await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason="audit <b>12</b>")
    shown = await mara.get(f"/runs/{run}")
    assert shown.status_code == 200, shown.text
    assert "audit &lt;b&gt;12&lt;/b&gt;" in shown.text
    member = await mara.get(f"/members/{ada.id}")
    assert "a…e@a…l.example" in member.text
    assert "ada.lovelace" not in member.text
    found = await mara.get("/members?q=ada.lovelace@analytical.example")
    assert (found.status_code, found.headers["location"]) == (303, f"/members/{ada.id}")
    assert "A password is enough to sign in" in member.text


async def test_addresses_in_a_relay_s_words_are_masked(mara: Visitor, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    run = await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason=None)
    words = "5.1.1 <ada.lovelace@analytical.example>: no such user"
    batch = await db.fetchval(
        "INSERT INTO portcullis.batch (run_id, stage, state, attempts, error, done_at, refused)"
        " VALUES ($1, 'notice', 'dead', 12, $2, now(), 1) RETURNING batch_id",
        *(run, words),
    )
    await db.execute(
        "INSERT INTO portcullis.delivery (run_id, member_id, slot, batch_id, verdict, state, reason)"
        " VALUES ($1, $2, 'notice', $3, 'unprotected', 'refused', $4)",
        *(run, organization.admin.id, batch, words),
    )
    await db.execute(
        "INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome, holder, token, relay, reason)"
        " VALUES ($1, 'notice', $2, $3, 'refused', 'host:7', 2, 'mail:25', $4)",
        *(run, organization.admin.id, batch, "later: " + words),
    )
    assert "<code>later: 5.1.1 &lt;a…e@a…l.example&gt;" in (await mara.get(f"/members/{organization.admin.id}")).text
    for path in (f"/runs/{run}", f"/members/{organization.admin.id}", "/dead", f"/dead/{batch}", "/"):
        page = (await mara.get(path)).text
        assert "a…e@a…l.example&gt;: no such user" in page or "5.1.1 @ no such user" in page, path
        assert "lovelace" not in page, path


async def test_a_run_that_nothing_but_a_dead_batch_is_left_of_stands_still(mara: Visitor, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    run = await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason=None)
    await db.execute("UPDATE portcullis.batch SET state = 'done', done_at = now() WHERE run_id = $1", run)
    await db.execute("INSERT INTO portcullis.batch (run_id, stage, state, done_at) VALUES ($1, 'enforce', 'dead', now())", run)
    page = (await mara.get(f"/runs/{run}")).text
    assert "Stands still: it waits for somebody to see to what is dead." in page
    assert ", stands still</td>" in page
    assert "waits for you" in (await mara.get("/")).text


async def test_a_run_whose_letters_do_not_leave_says_why(mara: Visitor, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    run = await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason=None)
    await db.execute("UPDATE portcullis.batch SET state = 'done', done_at = now() WHERE run_id = $1", run)
    await workers.announce(db, "host:1/notify", "notify", 2, "1")
    await db.execute("INSERT INTO portcullis.leader (role, holder, leased_until) VALUES ('conductor', 'host:2', now() + interval '1 hour')")
    await db.execute(
        "INSERT INTO portcullis.batch (run_id, stage, owed, failures) VALUES ($1, 'notice', 3, $2)",
        *(
            run,
            '[{"state": "owed", "reason": "rcpt 451 later", "domain": "kestrel.example", "letters": 3, "last_at": "2026-01-01T00:00Z"}]',
        ),
    )
    page = (await mara.get(f"/runs/{run}")).text
    assert "<b>No letter is leaving.</b> Most of what waits: <code>rcpt 451 later</code>" in page
    await db.execute("UPDATE portcullis.batch SET error = 'the relay is away: mail:25' WHERE owed = 3")
    assert "Most of what waits: <code>the relay is away: mail:25</code>" in (await mara.get(f"/runs/{run}")).text


async def test_the_audit_page_says_how_the_record_stands(vera: Visitor, db: asyncpg.Connection) -> None:
    assert "No auditor has looked yet" in (await vera.get("/audit")).text
    await db.execute(
        "INSERT INTO portcullis.audit_checkpoint (number, key_id, body, signature) VALUES (7, 'k1', '{}', decode(repeat('00', 64), 'hex'))"
    )
    for number in (1, 2):
        await db.execute("INSERT INTO portcullis.audit_result (invariant, ok, found) VALUES ($1, true, 0)", f"I{number}")
    whole = (await vera.get("/audit")).text
    assert "All 2 invariants hold" in whole
    assert "Checkpoint 7 was signed" in whole
    await db.execute("UPDATE portcullis.audit_result SET ok = false, found = 3, words = 'entry 5: <b>2</b> members' WHERE invariant = 'I1'")
    broken = (await vera.get("/audit")).text
    assert "<b>I1</b> is broken 3 times" in broken
    assert "entry 5: &lt;b&gt;2&lt;/b&gt; members" in broken
    assert "invariants hold" not in broken
    assert "The auditor found a promise broken: I1, entry 5" in (await vera.get("/")).text
    await db.execute("UPDATE portcullis.audit_result SET found = 0, looked_at = now() - interval '1 hour'")
    assert "nobody looks" in (await vera.get("/audit")).text


async def test_a_fault_of_ours_is_one_for_whoever_watches_too(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute("ALTER TABLE portcullis.pause RENAME COLUMN reason TO mislaid")
    failed = await mara.get("/emergency")
    assert failed.status_code == 500
    assert failed.headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()
    assert "A fault of the console itself" in failed.text
    assert "mislaid" not in failed.text


async def test_a_database_that_is_away_is_said_to_be(mara: Visitor) -> None:
    state, pool = mara.app.state, mara.app.state.pool
    state.pool = await asyncpg.create_pool("postgresql://nobody@127.0.0.1:9/gone", min_size=0)
    away = await mara.get("/")
    await state.pool.close()
    state.pool = pool
    assert away.status_code == 503
    assert "The database can" in away.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/999", 404),
        (f"/runs/{2**63}", 404),
        ("/runs?state=nope", 400),
        ("/runs?organization=nope", 400),
        ("/members/999", 404),
        ("/members/nope", 404),
        ("/members?q=nobody", 404),
        ("/members?q=nobody@nowhere.example", 404),
        ("/dead/999", 404),
        ("/dead/order?what=replay&fingerprint=abcdef", 404),
        ("/dead/order?what=replay", 400),
        ("/dead/order?what=nonsense&everything=1", 400),
        ("/dead/order?what=replay&batch=x", 400),
        ("/nope", 404),
    ],
)
async def test_what_does_not_exist_is_said_in_words(mara: Visitor, path: str, status: int) -> None:
    shown = await mara.get(path)
    assert shown.status_code == status, shown.text
    assert 'role="alert"' in shown.text
