"""Who may enter a page, and who may order something. A page says which door it has, and nothing gets round it; a test asks every route."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs import operators
from jobs.operators import Role, Session
from workers.console.address import COOKIE
from workers.console.refusals import Refusal, SignInNeeded, malformed

Page: TypeAlias = Callable[[Request], Awaitable[Response]]
Ordering: TypeAlias = Callable[[Request, Session, FormData], Awaitable[Response]]

MOST_FIELDS = 200
LIVE = "live"
"""The word in an address that asks for a page's stream."""
GONE = "event: gone\ndata:\n\n"
"""What a stream says to a page that nobody is signed in at any more. A browser never asks again after an answer that is no stream."""


def anybody(page: Page) -> Page:
    """Let everybody in; who is signed in is known all the same."""

    async def enter(request: Request) -> Response:
        await _recognize(request)
        return await page(request)

    return _marked(enter, "anybody")


def viewers(page: Page) -> Page:
    """Let in whoever is signed in."""

    async def enter(request: Request) -> Response:
        session = await _recognize(request)
        if session is None or not session.is_full:
            raise SignInNeeded(was_order=False)
        return await page(request)

    return _marked(enter, "viewers")


def beginners(order: Ordering) -> Page:
    """Take a form of whoever is setting up what they will sign in with."""
    return _taking(order, "beginners", is_full=False)


def own_account(order: Ordering) -> Page:
    """Take a form of anybody signed in, about themselves."""
    return _taking(order, "own_account", is_full=True)


def acting(order: Ordering) -> Page:
    """Take an order of an operator: signed in, from a form of their own session, and not a viewer."""

    async def carry_out(request: Request, session: Session, form: FormData) -> Response:
        if session.role is not Role.OPERATOR:
            to_do = "Ask somebody whose role is operator; `portcullis operators list` names them."
            raise Refusal(HTTPStatus.FORBIDDEN, "viewer_acted", "You may look, and not act. Nothing was done", to_do, back=_back(request))
        return await order(request, session, form)

    return _taking(carry_out, "acting", is_full=True)


def _taking(order: Ordering, door: str, *, is_full: bool) -> Page:
    """Take a form of a session of its own."""

    async def enter(request: Request) -> Response:
        session = await _recognize(request)
        if session is None or session.is_full is not is_full:
            raise SignInNeeded(was_order=True)
        return await order(request, session, await _own_form(request, session))

    return _marked(enter, door)


async def find_session(request: Request, *, is_here: bool = True) -> Session | None:
    """Return whose request this is, whatever they may do."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    state = request.app.state
    return await operators.find(state.pool, token, state.session_rules, is_here=is_here)


async def read_form(request: Request) -> FormData:
    """Read a form of ours: fields, and no file."""
    form = await request.form(max_files=0, max_fields=MOST_FIELDS)
    if not all(isinstance(value, str) and _can_be_kept(value) for value in form.values()):
        raise malformed("That form holds what none of ours does. Nothing was done")
    return form


def _can_be_kept(text: str) -> bool:
    """Half of a surrogate pair, which a form may hold by a character set of its own choice, is no text."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text


async def _recognize(request: Request) -> Session | None:
    """Note whose request it is. A stream that an open page begins again by itself keeps no session awake."""
    session = request.scope["operator"] = await find_session(request, is_here=not request.query_params.get(LIVE))
    return session


async def _own_form(request: Request, session: Session) -> FormData:
    form = await read_form(request)
    if not session.is_own_form(form.get("csrf")):
        to_do = "Open the page again and send the form from there. Should you have sent nothing, somebody else tried to in your name."
        raise Refusal(HTTPStatus.FORBIDDEN, "foreign_form", "This form does not come from your session. Nothing was done", to_do)
    return form


def _back(request: Request) -> str:
    """Return the page above an order's address."""
    return request.url.path.rsplit("/", 1)[0] or "/"


def _marked(enter: Page, door: str) -> Page:
    enter.door = door  # type: ignore[attr-defined]  # for the test that asks every route
    return enter


def door_of(endpoint: Any) -> str | None:
    """Return the door that a route has; `None`: it has none."""
    return getattr(endpoint, "door", None)
