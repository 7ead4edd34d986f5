"""Limits and breakers: set, cleared and closed while mail goes out, and never by a form about how it was before."""

import asyncpg
import pytest

from tests.integration.console.browser import Visitor, fields_of


async def test_limits_are_changed_while_mail_goes_out(mara: Visitor, db: asyncpg.Connection) -> None:
    changed = await mara.order("/limits/set", scope="domain", subject="Slow.Example", amount="2.5", reason="they asked us to")
    assert changed.status_code == 303
    assert "they asked us to" in (await mara.get("/limits")).text
    assert await db.fetchval("SELECT amount FROM portcullis.send_limit WHERE scope = 'domain' AND subject = 'slow.example'") == 2.5
    assert (await mara.order("/limits/set", scope="domain", subject="slow.example", amount="9", seen="never")).status_code == 409
    seen = (await db.fetchval("SELECT set_at FROM portcullis.send_limit")).isoformat()
    assert (await mara.order("/limits/set", scope="domain", subject="slow.example", amount="9", seen=seen)).status_code == 303
    assert (await mara.order("/limits/clear", scope="domain", subject="slow.example", seen=seen)).status_code == 409
    seen = (await db.fetchval("SELECT set_at FROM portcullis.send_limit")).isoformat()
    assert (await mara.order("/limits/clear", scope="domain", subject="slow.example", seen=seen)).status_code == 303
    assert await db.fetchval("SELECT count(*) FROM portcullis.send_limit") == 0


@pytest.mark.parametrize(("scope", "amount"), [("domain", "-1"), ("domain", "nan"), ("domain", "inf"), ("domain", "x"), ("nonsense", "1")])
async def test_what_is_no_limit_is_not_set(mara: Visitor, db: asyncpg.Connection, scope: str, amount: str) -> None:
    assert (await mara.order("/limits/set", scope=scope, subject="a.example", amount=amount)).status_code == 400
    assert await db.fetchval("SELECT count(*) FROM portcullis.send_limit") == 0


async def test_a_breaker_is_closed_and_held_closed(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute(
        "INSERT INTO portcullis.breaker (scope, subject, state, cause)"
        " VALUES ('domain', 'slow.example', 'open', '20 of 25 letters refused')"
    )
    assert "20 of 25 letters refused" in (await mara.get("/")).text
    breaker = {
        "scope": "domain",
        "subject": "slow.example",
        "seen": fields_of((await mara.get("/limits")).text.partition("breakers-heading")[2])["seen"],
    }
    assert (await mara.order("/limits/close-breaker", **breaker, hold="7")).status_code == 400
    assert (await mara.order("/limits/close-breaker", **breaker, hold="60")).status_code == 303
    assert await db.fetchval("SELECT state = 'closed' AND held_closed_until > now() + interval '59 minutes' FROM portcullis.breaker")
    assert (await mara.order("/limits/close-breaker", **breaker, hold="")).status_code == 409
    assert (await mara.order("/limits/close-breaker", scope="domain", subject="never.example", hold="")).status_code == 404


@pytest.mark.parametrize("seen_by", ["", "here:8"], ids=["everywhere", "in another process"])
async def test_a_form_about_a_breaker_that_opened_again_closes_nothing(mara: Visitor, db: asyncpg.Connection, seen_by: str) -> None:
    opened = (
        "INSERT INTO portcullis.breaker (scope, subject, seen_by, state, cause) VALUES ('relay', 'mail.example:25', $1, 'open', 'no route')"
        " ON CONFLICT (scope, subject, seen_by) DO UPDATE SET state = 'open', opened_at = now()"
    )
    await db.execute(opened, "")
    form = fields_of((await mara.get("/limits")).text.partition("breakers-heading")[2])
    await db.execute(opened, seen_by)
    stale = await mara.post("/limits/close-breaker", **form, hold="60", reason="mended")
    assert stale.status_code == 409
    assert "opened again" in stale.text
    assert await db.fetchval("SELECT bool_and(state = 'open' AND held_closed_until IS NULL) FROM portcullis.breaker")
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0
    form = fields_of((await mara.get("/limits")).text.partition("breakers-heading")[2])
    assert (await mara.post("/limits/close-breaker", **form, hold="60", reason="mended")).status_code == 303


async def test_a_limit_for_every_one_is_named_and_cleared_where_it_holds(mara: Visitor, db: asyncpg.Connection) -> None:
    for scope in ("relay", "organization", "domain", "quota"):
        assert (await mara.order("/limits/set", scope=scope, subject="", amount="7", reason=f"all {scope}s")).status_code == 303
    page = (await mara.get("/limits")).text
    for scope in ("relay", "organization", "domain", "quota"):
        assert f"all {scope}s" in page
    forms = page.split('action="/limits/clear"')[1:]
    for form in forms:
        assert (await mara.post("/limits/clear", **fields_of(form), reason="over")).status_code == 303
    assert await db.fetchval("SELECT count(*) FROM portcullis.send_limit") == 0


async def test_a_limit_of_one_is_set_where_one_for_every_one_holds(mara: Visitor, db: asyncpg.Connection) -> None:
    await mara.order("/limits/set", scope="relay", subject="", amount="7")
    form = fields_of((await mara.get("/limits")).text.partition('action="/limits/set"')[2])
    assert (form["scope"], form["seen"]) == ("relay", "never")
    assert (await mara.post("/limits/set", **form, amount="3", reason="slower")).status_code == 303
    kept = await db.fetch("SELECT subject, amount FROM portcullis.send_limit ORDER BY amount")
    assert [tuple(row) for row in kept] == [(form["subject"], 3), ("", 7)]
