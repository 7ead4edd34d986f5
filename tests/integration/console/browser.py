"""A browser without a screen: it keeps the cookie, reads form tokens out of pages, and names where it comes from."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape

import asyncpg
import httpx
import pyotp
from starlette.applications import Starlette

from jobs import operators
from jobs.operators import Role
from jobs.store.database import Pool
from workers.console.address import Address
from workers.console.application import application
from workers.settings import Settings

ORIGIN = "https://console.example"
PASSWORD = "seven calm herons at dawn"
KEYS = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

_hidden = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


def settings(database_url: str, redis_url: str, **others: str) -> Settings:
    return Settings.load(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SMTP_URL": "smtp://127.0.0.1:2525",
            "MAIL_FROM": "security@kestrel.example",
            "APP_URL": "https://app.kestrel.example",
            "PORTCULLIS_KEYS": KEYS,
            "PORTCULLIS_CONSOLE_ORIGIN": ORIGIN,
            **others,
        }
    )


@dataclass(kw_only=True)
class Visitor:
    """Somebody with a browser. `secret` is in their phone, once they have set it up."""

    client: httpx.AsyncClient
    app: Starlette
    name: str = ""
    secret: str = field(default="", repr=False)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def post(self, path: str, /, *, origin: str | None = ORIGIN, referer: str = "", **fields: object) -> httpx.Response:
        """Send a form as a page of `origin` would."""
        headers = ({"Origin": origin} if origin is not None else {}) | ({"Referer": ORIGIN + referer} if referer else {})
        return await self.client.post(path, data={name: str(value) for name, value in fields.items()}, headers=headers)

    async def token(self) -> str:
        """Return the token that forms of this session carry."""
        return fields_of((await self.get("/account")).text)["csrf"]

    async def order(self, path: str, /, *, reason: str = "asked to", **fields: object) -> httpx.Response:
        """Give an order as its form would."""
        return await self.post(path, **{"csrf": await self.token(), "reason": reason} | fields)  # type: ignore[arg-type]  # no field is called so

    async def sign_in(self, *, password: str = PASSWORD, code: str | None = None, **fields: str) -> httpx.Response:
        typed = code if code is not None else pyotp.TOTP(self.secret).now()
        return await self.post("/sign-in", name=self.name, password=password, code=typed, **fields)


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields of a page, the first of each name."""
    found: dict[str, str] = {}
    for name, value in _hidden.findall(page):
        found.setdefault(name, unescape(value))
    return found


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Starlette]:
    app = application(settings, Address.of(ORIGIN))
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def stranger(app: Starlette, *, address: str = "192.0.2.7") -> AsyncIterator[Visitor]:
    """Somebody who is not signed in."""
    transport = httpx.ASGITransport(app=app, client=(address, 40000), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Visitor(client=client, app=app)


async def set_up(visitor: Visitor, db: asyncpg.Connection | Pool, name: str, role: Role) -> Visitor:
    """Invite somebody and let them set up what they sign in with; afterwards they are signed in."""
    invitation = await operators.add(db, name, role)
    assert invitation is not None
    assert (await visitor.post("/welcome", name=name, invitation=invitation.code)).status_code == 303
    page = (await visitor.get("/set-up")).text
    visitor.name, visitor.secret = name, unescape(re.findall(r'class="secret">([^<]+)<', page)[0])
    code = pyotp.TOTP(visitor.secret).now()
    done = await visitor.post("/set-up", csrf=fields_of(page)["csrf"], password=PASSWORD, code=code)
    assert (done.status_code, done.headers["location"]) == (303, "/"), done.text
    return visitor
