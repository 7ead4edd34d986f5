"""The console, put together: its pages and orders, what it opens when it starts, and what it answers when something goes wrong.

Every route has a door of `workers.console.doors`; a test asks each of them without a cookie, as a viewer, and from a foreign page.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jobs.operators import SessionRules, sweep_for_ever
from jobs.store.database import WEATHER, is_weather
from workers.api import api
from workers.api.problems import of_status
from workers.console import (
    account,
    audit,
    dead,
    emergency,
    fleet,
    limits,
    members,
    overview,
    queues,
    reconciler,
    run,
    runs,
    sign_in,
)
from workers.console.address import Address
from workers.console.database import close_pool, open_pool
from workers.console.pages import HERE, page
from workers.console.protection import API, HEADERS, Protection
from workers.console.redis_look import RedisLook
from workers.console.refusals import Refusal, SignInNeeded
from workers.settings import Settings

log = structlog.get_logger(__name__)


class Number(IntegerConvertor):
    """The number of a run or a batch: what fits into 64 bits, before Python is asked to read it."""

    regex = "[0-9]{1,18}"


register_url_convertor("number", Number())


def application(settings: Settings, address: Address) -> Starlette:
    """Return the app; it opens its pool when it starts."""
    app = Starlette(
        routes=[Mount("/api/v1", api(lambda: app.state.pool)), *_routes()],
        lifespan=_lifespan,
        middleware=[Middleware(Protection, address=address)],
        exception_handlers={
            Refusal: _refused,
            SignInNeeded: sign_in.send_away,
            HTTPException: _http,
            **dict.fromkeys(WEATHER, _database),
            Exception: _bug,
        },
    )
    app.state.settings = settings
    app.state.keys = settings.key_ring
    app.state.session_rules = SessionRules(lasts=timedelta(hours=settings.console_session_hours))
    app.state.closing = asyncio.Event()
    return app


def _routes() -> list[Route | Mount]:
    return [
        Route("/", overview.overview),
        Route("/sign-in", sign_in.ask, methods=["GET"], name="sign-in"),
        Route("/sign-in", sign_in.check, methods=["POST"]),
        Route("/welcome", sign_in.ask_invitation, methods=["GET"]),
        Route("/welcome", sign_in.begin, methods=["POST"]),
        Route("/set-up", sign_in.show_secret, methods=["GET"]),
        Route("/set-up", sign_in.set_up, methods=["POST"]),
        Route("/account", account.account, methods=["GET"]),
        Route("/account/time-zone", account.set_time_zone, methods=["POST"]),
        Route("/account/end-others", account.end_others, methods=["POST"]),
        Route("/sign-out", account.sign_out, methods=["POST"]),
        Route("/runs", runs.runs),
        Route("/runs/{run_id:number}", run.run),
        Route("/runs/{run_id:number}/pause", run.pause, methods=["POST"]),
        Route("/runs/{run_id:number}/resume", run.resume, methods=["POST"]),
        Route("/runs/{run_id:number}/cancel", run.cancel, methods=["POST"]),
        Route("/members", members.search),
        Route("/members/{user_id}", members.member),
        Route("/queues", queues.queues),
        Route("/queues/{queue}/pause", queues.pause, methods=["POST"]),
        Route("/queues/{queue}/resume", queues.resume, methods=["POST"]),
        Route("/dead", dead.groups),
        Route("/dead/order", dead.weigh, methods=["GET"]),
        Route("/dead/order", dead.order, methods=["POST"]),
        Route("/dead/{batch_id:number}", dead.one),
        Route("/workers", fleet.workers),
        Route("/workers/drain", fleet.drain, methods=["POST"]),
        Route("/limits", limits.limits),
        Route("/limits/set", limits.set_limit, methods=["POST"]),
        Route("/limits/clear", limits.clear_limit, methods=["POST"]),
        Route("/limits/close-breaker", limits.close_breaker, methods=["POST"]),
        Route("/reconciler", reconciler.reconciler),
        Route("/audit", audit.audit),
        Route("/emergency", emergency.emergency),
        Route("/emergency/stop", emergency.stop, methods=["POST"]),
        Route("/emergency/resume", emergency.resume, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    app.state.pool = await open_pool(settings.database_url.get_secret_value())
    app.state.redis = RedisLook(settings.redis_url.get_secret_value())
    sweeping = asyncio.create_task(sweep_for_ever(app.state.pool))
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await app.state.redis.aclose()
        await close_pool(app.state.pool)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101 -- by registration
    operator = request.scope.get("operator")
    log.warning("console_refused", why=refusal.name, path=request.url.path, operator=operator.name if operator else None)
    return page(request, "refusal.html", answer=refusal.status, what=refusal.what, to_do=refusal.to_do, back=refusal.back)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- by registration
    if request.url.path.startswith(API):  # a path that is none, such as one with a line break, does not come to the API's own routes
        return of_status(HTTPStatus(error.status_code), error.headers).response()
    if error.status_code == HTTPStatus.NOT_FOUND:
        return await _refused(request, Refusal(HTTPStatus.NOT_FOUND, "no_page", "There is no such page", "The overview leads everywhere."))
    to_do = "Nothing was done. The overview leads everywhere."
    return await _refused(request, Refusal(HTTPStatus(error.status_code), "http", str(error.detail), to_do))


async def _database(request: Request, error: Exception) -> Response:
    """Say the one thing that matters when the database is away."""
    if not is_weather(error):
        return await _bug(request, error)
    log.error("console_database_failed", error=type(error).__name__, path=request.url.path)
    request.scope["operator"] = None
    what = "The database can't be asked right now"
    to_do = (
        "If it is away, no session ends and no letter leaves until it is back; the gate refuses whom it can't ask about. "
        "Nothing has to be repaired afterwards. If this order was just given, look whether it was carried out before you give it again."
    )
    return page(request, "refusal.html", answer=HTTPStatus.SERVICE_UNAVAILABLE, what=what, to_do=to_do, back=request.url.path)


async def _bug(request: Request, error: Exception) -> Response:
    log.error("console_failed", path=request.url.path, exc_info=error)
    request.scope["operator"] = None
    to_do = "Its cause is in the log, as console_failed. The command line does the same things: `portcullis --help`."
    what = "A fault of the console itself"
    said = page(request, "refusal.html", answer=HTTPStatus.INTERNAL_SERVER_ERROR, what=what, to_do=to_do, back="/")
    said.headers.update(HEADERS)  # Starlette says this outside of every middleware
    return said
