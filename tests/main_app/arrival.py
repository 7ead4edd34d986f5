"""Let a browser in: with a new cookie that stands for its new session. Whatever cookie it had before is worth nothing."""

import asyncpg
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.main_app.browsers import forget, give, remember


async def arrive(
    request: Request, db: asyncpg.Connection, user_id: int, session_id: int, *, ticket: str | None = None, onward: str = "/"
) -> Response:
    """Lead on to a page of the app; the gate leads elsewhere if it must."""
    await forget(request)
    token = await remember(db, user_id, session_id, ticket=ticket)
    return give(RedirectResponse(onward, 303), token, secure=request.url.scheme == "https")
