"""Whose request it is: what a trusted proxy says, and of anybody else the address that it came from, whatever they say."""

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from tests.integration.console.browser import ORIGIN, Visitor, settings, stranger
from tests.integration.console.test_sign_in import forget_step
from workers.console.serving import configuration
from workers.settings import ConfigurationError, Settings

PROXY, OPERATOR = "10.0.0.7", "203.0.113.9"
BEYOND = {"PORTCULLIS_CONSOLE_ADDRESS": "0.0.0.0:8700"}
NAMED = BEYOND | {"PORTCULLIS_CONSOLE_PROXIES": f"{PROXY}, 10.1.0.0/24"}
HERE = {"PORTCULLIS_CONSOLE_ADDRESS": "127.0.0.1:8700"}
PLAIN = HERE | {"PORTCULLIS_CONSOLE_ORIGIN": "http://127.0.0.1:8700"}


async def who(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.client.host if request.client else "")


async def seen(given: Settings, peer: str, said: str) -> str:
    """Return whom the console believes to have asked, of a request from `peer` that says it is for somebody."""
    app = Starlette()
    app.add_route("/", who)
    config = configuration(given, app)
    config.load()
    transport = httpx.ASGITransport(app=config.loaded_app, client=(peer, 40000))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        return (await client.get("/", headers={"X-Forwarded-For": said})).text


@pytest.mark.parametrize(
    ("given", "peer", "said", "believed"),
    [
        (NAMED, PROXY, OPERATOR, OPERATOR),
        (NAMED, "10.1.0.200", OPERATOR, OPERATOR),
        (NAMED, PROXY, f"192.0.2.1, {OPERATOR}", OPERATOR),
        (NAMED, PROXY, f"{OPERATOR}, 10.1.0.3", OPERATOR),
        (NAMED, "10.1.1.1", OPERATOR, "10.1.1.1"),
        (NAMED, "127.0.0.1", OPERATOR, "127.0.0.1"),
        (BEYOND, PROXY, OPERATOR, PROXY),
        (BEYOND, "127.0.0.1", OPERATOR, "127.0.0.1"),
        (HERE, "127.0.0.1", OPERATOR, OPERATOR),
        (HERE, "::1", OPERATOR, OPERATOR),
        (PLAIN, "127.0.0.1", OPERATOR, "127.0.0.1"),
    ],
    ids=[
        "a named proxy",
        "one of a named network",
        "what the visitor made up stands before what the proxy saw",
        "two named proxies",
        "another machine",
        "this machine, which is not named",
        "nobody is named",
        "nobody is named, and this machine is reached from others",
        "https is spoken on this machine",
        "https is spoken on this machine, by IPv6",
        "nobody has to speak https",
    ],
)
async def test_only_a_trusted_proxy_says_whose_request_it_is(
    given: dict[str, str], peer: str, said: str, believed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own; ours alone counts
    assert await seen(settings("postgresql://x", "redis://x", **given), peer, said) == believed


@pytest.mark.parametrize("named", ["*", "proxy.example", "10.0.0.7/8", "0.0.0.0/0", "::/0", "10.0.0.7,"])
def test_what_names_no_proxy_is_refused_at_the_start(named: str) -> None:
    with pytest.raises(ConfigurationError, match="PORTCULLIS_CONSOLE_PROXIES"):
        settings("postgresql://x", "redis://x", PORTCULLIS_CONSOLE_PROXIES=named)


@pytest.fixture
async def behind(app: Starlette, database_url: str, redis_url: str) -> httpx.ASGITransport:
    config = configuration(settings(database_url, redis_url, **NAMED), app)
    config.load()
    return httpx.ASGITransport(app=config.loaded_app, client=(PROXY, 40000))


async def test_behind_a_proxy_elsewhere_a_guesser_locks_out_nobody_else(
    app: Starlette, behind: httpx.ASGITransport, mara: Visitor, db: asyncpg.Connection
) -> None:
    async with httpx.AsyncClient(transport=behind, base_url=ORIGIN, headers={"X-Forwarded-For": "198.51.100.66"}) as client:
        thief = Visitor(client=client, app=app, name="mara", secret=mara.secret)
        for _ in range(5):
            assert (await thief.sign_in(password="guess")).status_code == 403
        await forget_step(db)
        assert (await thief.sign_in()).status_code == 403
    async with httpx.AsyncClient(transport=behind, base_url=ORIGIN, headers={"X-Forwarded-For": OPERATOR}) as client:
        assert (await Visitor(client=client, app=app, name="mara", secret=mara.secret).sign_in()).status_code == 303


async def test_a_guesser_who_makes_up_addresses_is_one_guesser(
    app: Starlette, mara: Visitor, db: asyncpg.Connection, behind: httpx.ASGITransport
) -> None:
    behind.client = ("198.51.100.66", 40000)
    for number in range(5):
        async with httpx.AsyncClient(transport=behind, base_url=ORIGIN, headers={"X-Forwarded-For": f"192.0.2.{number}"}) as client:
            thief = Visitor(client=client, app=app, name="mara", secret=mara.secret)
            assert (await thief.sign_in(password="guess")).status_code == 403
    await forget_step(db)
    async with stranger(app, address="198.51.100.66") as thief:
        thief.name, thief.secret = "mara", mara.secret
        assert (await thief.sign_in()).status_code == 403
