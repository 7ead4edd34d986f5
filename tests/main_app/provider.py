"""A fake identity provider, and the app's way back from it: who types an address of its directory is vouched for, by a code used once.

Fake is only that it asks for no password. The app checks what it must: that this browser asked (`state`), and that the code is fresh.
"""

import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.main_app.arrival import arrive
from tests.main_app.doors import SIGN_IN
from tests.main_app.pages import page
from tests.main_app.sessions import open_session

ISSUER = "https://login.example.com"
STATE = "kestrel_provider_state"

FIND_SUBJECT = """
    SELECT subject FROM app.identities JOIN app.users USING (user_id) WHERE provider = $1 AND lower(email) = lower($2)
"""
FIND_USER = """
    SELECT user_id FROM app.identities JOIN app.users USING (user_id)
    WHERE provider = $1 AND subject = $2 AND deactivated_at IS NULL
"""

_vouched: dict[str, str] = {}
"""Codes that the provider gave out, and for which subject. Each is taken once."""


async def leave_for_provider(request: Request) -> Response:
    """Send the browser to the provider."""
    state = secrets.token_urlsafe(16)
    response = RedirectResponse(f"/provider?state={state}", 303)
    response.set_cookie(STATE, state, httponly=True, samesite="lax", secure=request.url.scheme == "https", max_age=600)
    return response


async def ask_address(request: Request) -> Response:
    """Show the provider's own page."""
    return page(request, "provider.html", refused=False, state=request.query_params.get("state", ""))


async def vouch(request: Request) -> Response:
    """Send the browser back with a code."""
    form = await request.form()
    state = str(form.get("state", ""))
    subject = await request.app.state.pool.fetchval(FIND_SUBJECT, ISSUER, str(form.get("email", "")))
    if subject is None:
        return page(request, "provider.html", status=401, refused=True, state=state)
    code = secrets.token_urlsafe(16)
    _vouched[code] = subject
    return RedirectResponse(str(request.url_for("come_back").include_query_params(code=code, state=state)), 303)


async def come_back(request: Request) -> Response:
    """Let in whoever the provider vouches for."""
    subject = _vouched.pop(request.query_params.get("code", ""), None)
    asked = request.cookies.get(STATE)
    if subject is None or not asked or not secrets.compare_digest(asked.encode(), request.query_params.get("state", "").encode()):
        return RedirectResponse(SIGN_IN, 303)
    async with request.app.state.pool.acquire() as db:
        user_id = await db.fetchval(FIND_USER, ISSUER, subject)
        session_id = await open_session(db, user_id, "sso") if user_id is not None else None
        if session_id is None:
            return RedirectResponse(SIGN_IN, 303)
        response = await arrive(request, db, user_id, session_id)
    response.delete_cookie(STATE)
    return response
