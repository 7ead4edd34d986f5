"""What a page asks of whoever wants it: a full session, any session, or an admin of the organization in its address.

The gate has been asked before, by the middleware; this is the app's own part.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs.gate import Visitor
from tests.main_app.browsers import Browser, Session

SIGN_IN, SET_UP = "/sign-in", "/two-factor"

Page: TypeAlias = Callable[[Request], Awaitable[Response]]
SessionPage: TypeAlias = Callable[Concatenate[Request, Session, ...], Awaitable[Response]]

IS_ADMIN = "SELECT name FROM app.admins JOIN app.organizations USING (organization_id) WHERE organization_id = $1 AND user_id = $2"


def visitor(scope: object) -> Visitor | None:
    """Tell the gate whose session this is. Every organization of theirs counts: the strictest wins."""
    browser: Browser = scope["browser"]  # type: ignore[index]
    if browser.session is None:
        return None
    return Visitor(user_id=browser.session.user_id, started_with=browser.session.started_with)


def any_session(page: SessionPage) -> Page:
    """Serve a page to whoever is signed in, also to somebody who may only enrol."""

    @wraps(page)
    async def opened(request: Request) -> Response:
        session = request.scope["browser"].session
        return RedirectResponse(SIGN_IN, 303) if session is None else await page(request, session)

    return opened


def full_session(page: SessionPage) -> Page:
    """Serve a page to full sessions only."""

    @wraps(page)
    async def opened(request: Request, session: Session) -> Response:
        return RedirectResponse(SET_UP, 303) if session.restricted else await page(request, session)

    return any_session(opened)


def admin(page: SessionPage) -> Page:
    """Serve a page to admins of the organization `{organization_id}`; to others it does not exist. The page gets its name."""

    @wraps(page)
    async def opened(request: Request, session: Session) -> Response:
        name = await request.app.state.pool.fetchval(IS_ADMIN, request.path_params["organization_id"], session.user_id)
        if name is None:
            raise HTTPException(404)
        return await page(request, session, name)

    return full_session(opened)
