"""Sign in by password, then, where there is a second factor, by a code or a recovery code; and sign out.

password ─▶ (code is due?) ─▶ code | recovery code ─▶ in

Codes are throttled by Portcullis. Passwords are not throttled here: a real app does that by itself.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs.second_factor import Accepted, FirstFactor, FirstMethod, Recovered, recover, verify
from tests.main_app import passwords
from tests.main_app.arrival import arrive
from tests.main_app.browsers import forget, give, remember
from tests.main_app.doors import SIGN_IN
from tests.main_app.origin import origin
from tests.main_app.pages import page
from tests.main_app.sessions import EndOthers, open_session

FIND = "SELECT user_id, password_hash FROM app.users WHERE lower(email) = lower($1) AND deactivated_at IS NULL"

REQUIRED_BY = """
    SELECT o.name FROM app.memberships m
    JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required
    JOIN app.organizations o ON o.organization_id = m.organization_id
    WHERE m.user_id = $1 AND portcullis.gate($1, m.organization_id, 'password') <> 'none'
    ORDER BY o.name LIMIT 1
"""


async def ask_password(request: Request) -> Response:
    """Show the form; whoever was just signed out by a requirement is told why."""
    ended = request.scope["browser"].ended_user
    required_by = await request.app.state.pool.fetchval(REQUIRED_BY, ended) if ended else None
    return page(request, "sign_in.html", refused=False, was_ended=ended is not None, required_by=required_by)


async def check_password(request: Request) -> Response:
    """Look at e-mail and password. A wrong one and an unknown one are answered alike."""
    form = await request.form()
    async with request.app.state.pool.acquire() as db:
        found = await db.fetchrow(FIND, str(form.get("email", "")))
        if not passwords.is_right(str(form.get("password", "")), found and found["password_hash"]):
            return page(request, "sign_in.html", status=401, refused=True, was_ended=False, required_by=None)
        user_id: int = found["user_id"]
        session_id = await open_session(db, user_id, "password")
        if session_id is not None:
            return await arrive(request, db, user_id, session_id)
        token = await remember(db, user_id, None)
    return give(RedirectResponse("/sign-in/code", 303), token, secure=request.url.scheme == "https")


async def ask_code(request: Request) -> Response:
    """Show the form for the code, or for a recovery code, to somebody whose password was right."""
    if request.scope["browser"].waiting_user is None:
        return RedirectResponse(SIGN_IN, 303)
    template = "sign_in_recovery.html" if request.url.path.endswith("/recovery") else "sign_in_code.html"
    return page(request, template, refused=False)


async def check_code(request: Request) -> Response:
    """Look at a code; it is counted and spent before the session is written."""
    user_id = request.scope["browser"].waiting_user
    if user_id is None:
        return RedirectResponse(SIGN_IN, 303)
    typed = str((await request.form()).get("code", ""))
    async with request.app.state.pool.acquire() as db:
        shown = FirstFactor(user_id=user_id, method=FirstMethod.PASSWORD)
        match await verify(db, request.app.state.configuration.keys, shown, typed):
            case Accepted():
                return await _in(request, db, user_id)
    return page(request, "sign_in_code.html", status=401, refused=True)


async def check_recovery_code(request: Request) -> Response:
    """Look at a recovery code. It ends every other session, and its ticket lets this one bind a new factor."""
    user_id = request.scope["browser"].waiting_user
    if user_id is None:
        return RedirectResponse(SIGN_IN, 303)
    typed = str((await request.form()).get("code", ""))
    async with request.app.state.pool.acquire() as db:
        shown = FirstFactor(user_id=user_id, method=FirstMethod.PASSWORD)
        keys = request.app.state.configuration.keys
        match await recover(db, keys, shown, typed, end_other_sessions=EndOthers(keep=None), origin=origin(request)):
            case Recovered() as recovered:
                return await _in(request, db, user_id, ticket=recovered.ticket, onward="/settings/security")
    return page(request, "sign_in_recovery.html", status=401, refused=True)


async def sign_out(request: Request) -> Response:
    """End the session, and forget the browser."""
    if session := request.scope["browser"].session:
        await request.app.state.pool.execute("UPDATE app.sessions SET ended_at = now() WHERE session_id = $1", session.session_id)
    await forget(request)
    return RedirectResponse(SIGN_IN, 303)


async def _in(request: Request, db: object, user_id: int, *, ticket: str | None = None, onward: str = "/") -> Response:
    session_id = await open_session(db, user_id, "password", has_shown_factor=True)
    assert session_id is not None, "whoever has shown a factor owes no code"
    return await arrive(request, db, user_id, session_id, ticket=ticket, onward=onward)
