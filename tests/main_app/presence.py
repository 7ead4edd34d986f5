"""One word on what a browser's session is good for, now: the open page asks each second and goes when the word changes."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from jobs import client
from jobs.client import Requirement
from tests.main_app.browsers import Session

NOBODY, SET_UP, FULL = "nobody", "set-up", "full"


async def word(request: Request, session: Session | None) -> str:
    """Return the word; asks the gate."""
    if session is None:
        return NOBODY
    if session.restricted:
        return SET_UP
    async with request.app.state.pool.acquire() as db:
        requirement = await client.gate(db, session.user_id, None, started_with=session.started_with)
    return FULL if requirement is Requirement.NONE else SET_UP


async def presence(request: Request) -> Response:
    """Answer the open page."""
    return PlainTextResponse(await word(request, request.scope["browser"].session))
