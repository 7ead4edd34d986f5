"""Who gets in where: every route, without a sign-in, as a viewer, from a foreign page, without the form's token."""

import logging

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.integration.console.browser import ORIGIN, Visitor, fields_of, stranger
from workers.console.address import Address
from workers.console.application import _routes
from workers.console.doors import door_of
from workers.console.protection import HEADERS

ROUTES = [route for route in _routes() if isinstance(route, Route)]
ACTS = ("acting", "own_account", "beginners")


def path_of(route: Route) -> str:
    return (
        route.path.replace("{run_id:number}", "1").replace("{batch_id:number}", "1").replace("{user_id}", "1").replace("{queue}", "notify")
    )


ORDERS = sorted(path_of(route) for route in ROUTES if "POST" in (route.methods or ()) and door_of(route.endpoint) in ACTS)
OPERATORS_ORDERS = sorted(path_of(route) for route in ROUTES if door_of(route.endpoint) == "acting")
LOOKS = sorted(path_of(route) for route in ROUTES if door_of(route.endpoint) == "viewers")
OPEN = {"/sign-in", "/welcome", "/set-up"}


def test_every_route_has_a_door_and_only_the_sign_in_is_open() -> None:
    assert len(ROUTES) > 30
    for route in ROUTES:
        assert door_of(route.endpoint) is not None, route.path
        if door_of(route.endpoint) == "anybody":
            assert route.path in OPEN
        if "POST" in (route.methods or ()) and route.path not in OPEN:
            assert door_of(route.endpoint) in ACTS, route.path


@pytest.mark.parametrize("path", LOOKS)
async def test_a_stranger_is_led_to_the_sign_in_and_afterwards_to_the_page(nobody: Visitor, path: str) -> None:
    sent = await nobody.get(path)
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/sign-in?next=")


@pytest.mark.parametrize("path", ORDERS)
async def test_an_order_of_a_stranger_is_none(nobody: Visitor, db: asyncpg.Connection, path: str) -> None:
    sent = await nobody.post(path, csrf="x", reason="x", what="letters", confirmation="stop")
    assert (sent.status_code, sent.headers["location"].partition("?")[0]) == (303, "/sign-in")
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0


@pytest.mark.parametrize("path", OPERATORS_ORDERS)
async def test_a_viewer_who_orders_gets_a_page_that_says_no(vera: Visitor, db: asyncpg.Connection, path: str) -> None:
    sent = await vera.order(path, what="letters", confirmation="stop")
    assert sent.status_code == 403
    assert "You may look, and not act" in sent.text
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0


@pytest.mark.parametrize("path", [path for path in ORDERS if path != "/set-up"])
async def test_an_order_without_the_token_of_the_session_is_none(mara: Visitor, db: asyncpg.Connection, path: str) -> None:
    for fields in ({}, {"csrf": ""}, {"csrf": "x" * 43}):
        sent = await mara.post(path, reason="x", what="letters", confirmation="stop", **fields)
        assert sent.status_code == 403
        assert "does not come from your session" in sent.text
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0
    assert (await mara.get("/account")).status_code == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://console.example", f"{ORIGIN}:8443", f"{ORIGIN}.evil.example"]
)
@pytest.mark.parametrize("path", ["/emergency/stop", "/sign-in", "/welcome", "/sign-out"])
async def test_a_form_of_a_foreign_page_is_refused(mara: Visitor, db: asyncpg.Connection, path: str, origin: str | None) -> None:
    token = await mara.token()
    sent = await mara.post(path, origin=origin, csrf=token, reason="x", what="letters", confirmation="stop")
    assert sent.status_code == 403
    assert "Nothing was done" in sent.text
    assert await db.fetchval("SELECT count(*) FROM portcullis.action") == 0
    assert (await mara.get("/account")).status_code == 200


async def test_one_session_s_token_opens_no_form_of_another(mara: Visitor, vera: Visitor) -> None:
    assert (await mara.post("/emergency/stop", csrf=await vera.token(), reason="x", what="letters", confirmation="stop")).status_code == 403


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nope", "/static/console.js", "/runs/1"])
async def test_every_answer_carries_the_headers(mara: Visitor, path: str) -> None:
    shown = await mara.get(path)
    for name, value in HEADERS.items():
        assert shown.headers[name] == value
    assert shown.headers["strict-transport-security"]
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/emergency", "/limits", "/account"])
async def test_no_page_has_a_script_or_a_style_in_it(mara: Visitor, path: str) -> None:
    page = (await mara.get(path)).text
    assert page.count("<script") == 1
    assert '<script src="/static/console.js" defer></script>' in page
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in {part[:3] for part in page.split("<") if part.startswith(" on")}
    assert "://" not in page.replace("https://help.", "")


async def test_another_host_s_name_is_not_ours(app: Starlette) -> None:
    async with stranger(app) as visitor:
        for host in ("evil.example", "console.example.evil.example", "127.0.0.1:8700", ""):
            assert (await visitor.client.get("/sign-in", headers={"Host": host})).status_code == 421


async def test_more_than_any_form_sends_is_refused(mara: Visitor) -> None:
    assert (await mara.post("/emergency/stop", csrf=await mara.token(), reason="x" * 70_000)).status_code == 413


async def test_a_body_in_chunks_is_refused_whatever_length_it_says(nobody: Visitor) -> None:
    headers = {"Origin": ORIGIN, "Content-Length": "5", "Transfer-Encoding": "chunked"}
    assert (await nobody.client.post("/sign-in", content=b"name=x" * 20_000, headers=headers)).status_code == 413


async def test_what_is_no_text_is_refused_before_anybody_reads_it(nobody: Visitor) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    body = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n\\ud800\r\n--x--\r\n'
    assert (await nobody.client.post("/sign-in", content=body, headers=headers)).status_code == 400


@pytest.mark.parametrize("path", ["/runs/", "/dead/"])
@pytest.mark.parametrize("digits", [19, 5_000])
async def test_a_number_that_is_none_of_ours_is_no_page(nobody: Visitor, path: str, digits: int) -> None:
    assert (await nobody.get(path + "9" * digits)).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(mara: Visitor, method: str) -> None:
    assert (await mara.client.request(method, "/emergency/stop", headers={"Origin": ORIGIN})).status_code == 405


async def test_an_order_is_not_taken_by_a_link(mara: Visitor, db: asyncpg.Connection) -> None:
    assert (await mara.get(f"/emergency/stop?csrf={await mara.token()}&reason=x&what=letters&confirmation=stop")).status_code == 405
    assert await db.fetchval("SELECT count(*) FROM portcullis.pause") == 0


def test_loopback_has_several_names_and_nothing_else_has() -> None:
    assert "http://localhost:8700" in Address.of("http://127.0.0.1:8700").origins
    assert Address.of("https://ops.example.com").origins == {"https://ops.example.com"}
    assert Address.of("https://ops.example.com").hosts == {"ops.example.com"}


async def test_the_log_names_the_refusal_and_no_secret(
    mara: Visitor, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        await mara.post("/emergency/stop", csrf="canary-token", reason="canary-reason")
    said = capsys.readouterr()
    assert "foreign_form" in said.out + said.err + caplog.text
    assert "canary" not in said.out + said.err + caplog.text


async def test_a_page_without_scripts_has_every_form_whole(mara: Visitor) -> None:
    fields = fields_of((await mara.get("/emergency")).text)
    assert set(fields) == {"csrf"}
