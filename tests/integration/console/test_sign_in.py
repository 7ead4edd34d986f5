"""Signing in: a password and a code always, each code once, guesses counted, sessions that end, and a safe way back."""

import asyncio
from datetime import timedelta

import asyncpg
import pyotp
import pytest
from starlette.applications import Starlette

from jobs import operators
from jobs.keys import KeyRing
from jobs.operators import Role
from jobs.operators.throttle import Tried, key_of
from jobs.second_factor.rotation import rotate
from tests.integration.console.browser import KEYS, PASSWORD, Visitor, fields_of, serving, set_up, settings, stranger
from workers.console.address import COOKIE
from workers.console.sign_in import REFUSED, safe_next

STEP = timedelta(seconds=30)


async def forget_step(db: asyncpg.Connection, name: str = "mara") -> None:
    """Let so much time pass that the code of this moment was not used."""
    await db.execute("UPDATE portcullis.operator SET last_step = last_step - 10 WHERE name = $1", name)


async def test_an_invited_operator_sets_up_and_is_in(mara: Visitor, db: asyncpg.Connection) -> None:
    assert "<h1>Overview</h1>" in (await mara.get("/")).text
    kept = await db.fetchrow("SELECT * FROM portcullis.operator")
    assert kept["invitation"] is None
    assert kept["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert pyotp.TOTP(mara.secret).secret.encode() not in bytes(kept["secret"])


async def test_the_cookie_is_as_narrow_as_it_can_be(nobody: Visitor, db: asyncpg.Connection) -> None:
    await set_up(nobody, db, "mara", Role.OPERATOR)
    await forget_step(db)
    nobody.client.cookies.clear()
    cookie = (await nobody.sign_in()).headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert COOKIE.startswith("__Host-")
    for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    assert await db.fetchval("SELECT count(*) FROM portcullis.operator_session WHERE digest = sha256($1)", token.encode()) == 1


async def test_a_code_that_was_used_lets_nobody_in(mara: Visitor, db: asyncpg.Connection) -> None:
    await forget_step(db)
    code = pyotp.TOTP(mara.secret).now()
    assert (await mara.sign_in(code=code)).status_code == 303
    assert (await mara.sign_in(code=code)).status_code == 403


async def test_of_many_at_once_one_code_lets_one_in(mara: Visitor, db: asyncpg.Connection) -> None:
    await forget_step(db)
    code = pyotp.TOTP(mara.secret).now()
    answers = await asyncio.gather(*(mara.sign_in(code=code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 403, 403, 403]


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("mara", "wrong password", ""),
        ("mara", PASSWORD, "000000"),
        ("nobody", PASSWORD, "000000"),
        ("", "", ""),
        ("mara", PASSWORD, "\uff11\uff12\uff13\uff14\uff15\uff16"),
    ],
    ids=["password", "code", "name", "nothing", "digits of another script"],
)
async def test_whatever_is_wrong_the_answer_is_the_same(mara: Visitor, db: asyncpg.Connection, name: str, password: str, code: str) -> None:
    await forget_step(db)
    mara.client.cookies.clear()
    refused = await mara.post("/sign-in", name=name, password=password, code=code)
    assert refused.status_code == 403
    assert REFUSED in refused.text
    assert "set-cookie" not in refused.headers
    assert password not in refused.text or not password


async def test_guesses_of_a_password_are_counted_and_lock_out_nobody_elsewhere(
    app: Starlette, mara: Visitor, db: asyncpg.Connection
) -> None:
    async with stranger(app, address="203.0.113.9") as thief:
        thief.name, thief.secret = "mara", mara.secret
        for _ in range(5):
            assert (await thief.sign_in(password="guess")).status_code == 403
        await forget_step(db)
        assert (await thief.sign_in()).status_code == 403, "the sixth try is not looked at, however right it is"
    mara.client.cookies.clear()
    assert (await mara.sign_in()).status_code == 303


async def test_guesses_from_one_network_of_ipv6_are_counted_together(app: Starlette, mara: Visitor, db: asyncpg.Connection) -> None:
    for number in range(5):
        async with stranger(app, address=f"2001:db8:0:7::{number}") as thief:
            thief.name = "mara"
            assert (await thief.sign_in(password="guess", code="000000")).status_code == 403
    await forget_step(db)
    for address, status in (("2001:db8:0:7:ffff::1", 403), ("2001:db8:0:8::1", 303)):
        async with stranger(app, address=address) as somebody:
            somebody.name, somebody.secret = "mara", mara.secret
            assert (await somebody.sign_in()).status_code == status


async def test_guesses_of_a_code_are_counted_wherever_they_come_from(app: Starlette, mara: Visitor, db: asyncpg.Connection) -> None:
    for number in range(5):
        async with stranger(app, address=f"203.0.113.{number}") as thief:
            thief.name = "mara"
            assert (await thief.sign_in(code="000000")).status_code == 403
    await forget_step(db)
    mara.client.cookies.clear()
    assert (await mara.sign_in()).status_code == 403
    await db.execute("UPDATE portcullis.operator_throttle SET locked_until = now() - interval '1 second'")
    assert (await mara.sign_in()).status_code == 303


async def test_a_hundred_wrong_codes_need_a_reset(mara: Visitor, db: asyncpg.Connection) -> None:
    await mara.sign_in(code="000000")
    await db.execute("UPDATE portcullis.operator_throttle SET failures = 100, locked_until = NULL WHERE key LIKE 'code:%'")
    await forget_step(db)
    assert (await mara.sign_in()).status_code == 403
    await operators.sweep(db)
    assert (await mara.sign_in()).status_code == 403


async def test_old_guesses_and_sessions_are_forgotten_though_nobody_gets_in(
    nobody: Visitor, db: asyncpg.Connection, database_url: str, redis_url: str
) -> None:
    for name in ("old", "new", "locked"):
        nobody.name = name
        assert (await nobody.sign_in(code="000000")).status_code == 403
    old, locked = key_of(Tried.PASSWORD, "old", "192.0.2.7"), key_of(Tried.PASSWORD, "locked", "192.0.2.7")
    await db.execute(
        "UPDATE portcullis.operator_throttle SET tried_at = now() - interval '2 days',"
        " locked_until = CASE WHEN key = $2 THEN now() + interval '1 hour' END WHERE key IN ($1, $2)",
        *(old, locked),
    )
    async with serving(settings(database_url, redis_url)):
        async with asyncio.timeout(10):
            while await db.fetchval("SELECT count(*) FROM portcullis.operator_throttle") == 3:  # noqa: ASYNC110 -- in the database
                await asyncio.sleep(0.01)
        left = {row["key"] for row in await db.fetch("SELECT key FROM portcullis.operator_throttle")}
    assert left == {locked, key_of(Tried.PASSWORD, "new", "192.0.2.7")}


async def test_an_invitation_works_once_and_expires(app: Starlette, mara: Visitor, db: asyncpg.Connection) -> None:
    invitation = await operators.add(db, "noor", Role.VIEWER)
    assert invitation is not None
    async with stranger(app) as first, stranger(app) as second:
        assert (await first.post("/welcome", name="noor", invitation="WRONG-CODE")).status_code == 403
        assert (await first.post("/welcome", name="mara", invitation=invitation.code)).status_code == 403
        await db.execute("UPDATE portcullis.operator SET invited_until = now() - interval '1 second' WHERE name = 'noor'")
        assert (await first.post("/welcome", name="noor", invitation=invitation.code)).status_code == 403
        await db.execute("UPDATE portcullis.operator SET invited_until = now() + interval '1 day' WHERE name = 'noor'")
        assert (await first.post("/welcome", name=" Noor ", invitation=invitation.code.lower())).status_code == 303
        assert (await second.post("/welcome", name="noor", invitation=invitation.code)).status_code == 303
        assert (await first.get("/set-up")).headers["location"] == "/welcome", "whoever begins last is the one who goes on"
    async with stranger(app) as late:
        await db.execute("UPDATE portcullis.operator SET invitation = NULL, invited_until = NULL WHERE name = 'noor'")
        assert (await late.post("/welcome", name="noor", invitation=invitation.code)).status_code == 403


async def test_who_has_only_begun_gets_nowhere_else(app: Starlette, db: asyncpg.Connection) -> None:
    invitation = await operators.add(db, "noor", Role.OPERATOR)
    assert invitation is not None
    async with stranger(app) as visitor:
        await visitor.post("/welcome", name="noor", invitation=invitation.code)
        token = fields_of((await visitor.get("/set-up")).text)["csrf"]
        for path in ("/", "/runs", "/account"):
            assert (await visitor.get(path)).status_code == 303
        assert (await visitor.post("/emergency/stop", csrf=token, reason="x", what="letters", confirmation="stop")).status_code == 303
        for password in ("short", "aaaaaaaaaaaaaaaa", "i am noor and this is it"):
            poor = await visitor.post("/set-up", csrf=token, password=password, code="000000")
            assert poor.status_code == 422
            assert 'role="alert"' in poor.text
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0
    assert await db.fetchval("SELECT password_hash FROM portcullis.operator WHERE name = 'noor'") is None


async def test_a_reset_ends_everything_at_once(mara: Visitor, db: asyncpg.Connection) -> None:
    assert await operators.reset(db, "mara") is not None
    assert (await mara.get("/")).status_code == 303
    assert (await mara.sign_in()).status_code == 403


async def test_somebody_who_was_removed_is_out_at_the_next_click(mara: Visitor, db: asyncpg.Connection) -> None:
    assert await operators.remove(db, "mara")
    assert (await mara.get("/")).status_code == 303


@pytest.mark.parametrize(
    "change", ["expires_at = now() - interval '1 second'", "seen_at = now() - interval '61 minutes'"], ids=["absolute", "idle"]
)
async def test_a_session_ends_by_itself_and_what_was_ordered_is_not_done(mara: Visitor, db: asyncpg.Connection, change: str) -> None:
    token = await mara.token()
    await db.execute(f"UPDATE portcullis.operator_session SET {change}")
    sent = await mara.post("/emergency/stop", referer="/emergency?x=1", csrf=token, reason="x", what="letters", confirmation="stop")
    assert sent.headers["location"] == "/sign-in?next=%2Femergency%3Fx%3D1&why=expired-order"
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0
    shown = await mara.get(sent.headers["location"])
    assert "nothing was done" in shown.text
    await forget_step(db)
    back = await mara.sign_in(next=fields_of(shown.text)["next"])
    assert back.headers["location"] == "/emergency?x=1"


async def test_an_open_page_keeps_no_session_awake(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute("UPDATE portcullis.operator_session SET seen_at = now() - interval '30 minutes'")
    token = mara.client.cookies[COOKIE]
    rules = operators.SessionRules()
    assert await operators.find(db, token, rules, is_here=False) is not None
    assert await db.fetchval("SELECT max(seen_at) < now() - interval '29 minutes' FROM portcullis.operator_session")
    assert (await mara.get("/account")).status_code == 200
    assert await db.fetchval("SELECT max(seen_at) > now() - interval '1 minute' FROM portcullis.operator_session")


async def test_a_stream_that_an_open_page_begins_again_keeps_no_session_awake(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute("UPDATE portcullis.operator_session SET seen_at = now() - interval '30 minutes'")
    mara.app.state.closing.set()
    assert (await mara.get("/?live=1")).headers["content-type"].startswith("text/event-stream")
    assert await db.fetchval("SELECT max(seen_at) < now() - interval '29 minutes' FROM portcullis.operator_session")


async def test_a_stream_begun_after_the_sign_in_expired_tells_the_page(mara: Visitor, db: asyncpg.Connection) -> None:
    await db.execute("UPDATE portcullis.operator_session SET expires_at = now()")
    answer = await mara.get("/queues?live=1")
    assert answer.headers["content-type"].startswith("text/event-stream")  # after anything else a browser never asks again
    assert answer.text == "event: gone\ndata:\n\n"


async def test_a_session_that_began_in_the_moment_of_a_reset_is_worth_nothing(mara: Visitor, db: asyncpg.Connection) -> None:
    session = await db.fetchrow("SELECT * FROM portcullis.operator_session")
    await operators.reset(db, "mara")
    await db.execute("INSERT INTO portcullis.operator_session SELECT ($1::portcullis.operator_session).*", session)
    assert (await mara.get("/")).status_code == 303
    assert (await mara.post("/emergency/stop", csrf="x", reason="x", what="letters", confirmation="stop")).status_code == 303


async def test_signing_out_ends_the_session_here_and_elsewhere_only_if_asked(app: Starlette, mara: Visitor, db: asyncpg.Connection) -> None:
    async with stranger(app) as other:
        other.name, other.secret = "mara", mara.secret
        await forget_step(db)
        await other.sign_in()
        stolen = mara.client.cookies[COOKIE]
        assert (await mara.post("/sign-out", csrf=await mara.token())).status_code == 303
        mara.client.cookies.set(COOKIE, stolen, domain="console.example")
        assert (await mara.get("/")).status_code == 303
        assert (await other.get("/")).status_code == 200
        await forget_step(db)
        await mara.sign_in()
        ended = await mara.post("/account/end-others", csrf=await mara.token())
        assert ended.headers["location"] == "/account?done=others&n=1"
        assert (await other.get("/")).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie: a=b",
        "evil",
        "",
        None,
        "/sign-out",
        "/welcome",
    ],
)
def test_the_way_back_never_leads_away(wanted: str | None) -> None:
    assert safe_next(wanted) == "/"


def test_the_way_back_keeps_page_and_query() -> None:
    assert safe_next("/runs?state=done&before=7") == "/runs?state=done&before=7"


async def test_times_are_shown_in_the_operator_s_zone(mara: Visitor) -> None:
    assert (await mara.post("/account/time-zone", csrf=await mara.token(), zone="Asia/Tokyo")).status_code == 303
    assert " JST</time>" in (await mara.get("/account")).text
    assert (await mara.post("/account/time-zone", csrf=await mara.token(), zone="Nowhere/Atlantis")).status_code == 400


async def test_a_rotated_key_may_leave_the_ring_and_operators_still_get_in(
    mara: Visitor, db: asyncpg.Connection, database_url: str, redis_url: str
) -> None:
    assert await operators.add(db, "noor", Role.VIEWER)
    new = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
    async for progress in rotate(db, KeyRing.parse(f"{new},{KEYS}")):
        assert progress.unreadable == 0
    assert progress.left == 0
    await forget_step(db)
    async with serving(settings(database_url, redis_url, PORTCULLIS_KEYS=new)) as app, stranger(app) as again:
        again.name, again.secret = "mara", mara.secret
        assert (await again.sign_in()).status_code == 303
