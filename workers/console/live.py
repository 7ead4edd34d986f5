"""Pages that change by themselves. The part that changes is a block of the page's template; with `?live=1` it comes as server-sent events.

A script replaces that part on the page; without scripts, reloading does the same. An open page keeps no session awake, and is told when
there is none any more. A stream ends by itself after some minutes, and at once when the process drains; browsers come back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from jobs.store.database import WEATHER, is_weather
from workers.console.doors import GONE, LIVE, Page, find_session, viewers
from workers.console.pages import page, render_block
from workers.console.refusals import Refusal

TICK_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 300.0
BLOCK: Final = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A page's template and what it is filled with."""

    template: str
    values: dict[str, Any] = field(default_factory=dict)


Look: TypeAlias = Callable[[Request], Awaitable[Shown]]


def watched(look: Look) -> Page:
    """Make a page of a look, for whoever is signed in; and the stream of its looks."""

    async def show(request: Request) -> Response:
        if request.query_params.get(LIVE):
            headers = {"X-Accel-Buffering": "no"}
            return StreamingResponse(_events(request, look), media_type="text/event-stream", headers=headers)
        shown = await look(request)
        return page(request, shown.template, **shown.values)

    return viewers(show)


async def _events(request: Request, look: Look) -> AsyncIterator[str]:
    loop, closing = asyncio.get_running_loop(), request.app.state.closing
    ends = loop.time() + LONGEST_SECONDS
    yield "retry: 3000\n\n"
    while loop.time() < ends and not closing.is_set():
        yield await _event(request, look)
        if request.scope["operator"] is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), TICK_SECONDS)


async def _event(request: Request, look: Look) -> str:
    """Return how it is now, or why that can't be said."""
    try:
        session = request.scope["operator"] = await find_session(request, is_here=False)
        if session is None or not session.is_full:
            request.scope["operator"] = None
            return GONE
        shown = await look(request)
        return _written("part", render_block(request, shown.template, BLOCK, **shown.values))
    except Refusal as refusal:
        return _written("trouble", refusal.what)
    except WEATHER as error:
        if not is_weather(error):
            raise
        return _written("trouble", "The database can't be reached; this is how it was.")


def _written(event: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines()) or "data:\n"
    return f"event: {event}\n{lines}\n"
