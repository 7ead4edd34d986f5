"""Settings, Security: what a member has of the second factor, and a way to take it off where nobody requires it."""

from typing import assert_never

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs.second_factor import FirstFactor, FirstMethod, Refused, Removed, StillRequired, remove, standing
from tests.main_app.browsers import Session
from tests.main_app.doors import full_session
from tests.main_app.origin import origin
from tests.main_app.pages import page
from tests.main_app.presence import FULL
from tests.main_app.sessions import EndOthers


@full_session
async def security(request: Request, session: Session) -> Response:
    """Show it."""
    return await _show(request, session, advice=None)


@full_session
async def take_off(request: Request, session: Session) -> Response:
    """Remove the factor, once it was shown by a code."""
    typed = str((await request.form()).get("code", ""))
    async with request.app.state.pool.acquire() as db:
        member = FirstFactor(user_id=session.user_id, method=FirstMethod.SESSION)
        keys, keep = request.app.state.configuration.keys, EndOthers(keep=session.session_id)
        removed = await remove(db, keys, member, code=typed, end_other_sessions=keep, origin=origin(request))
    match removed:
        case Removed():
            return RedirectResponse("/settings/security", 303)
        case StillRequired() | Refused():
            return await _show(request, session, advice=removed.advice)
        case _:
            assert_never(removed)


async def _show(request: Request, session: Session, *, advice: str | None) -> Response:
    async with request.app.state.pool.acquire() as db:
        has = await standing(db, session.user_id)
    return page(request, "security.html", status=409 if advice else 200, presence=FULL, has=has, advice=advice)
