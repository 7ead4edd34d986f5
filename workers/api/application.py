"""The API as an ASGI app to be mounted: each endpoint behind its token, and every failure answered as a problem."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.client import PortcullisError
from jobs.store.database import Pool, is_weather
from jobs.store.ids import MalformedIdError
from jobs.store.steering import MalformedOrderError, Stale, Unknown
from workers.api import openapi, reading
from workers.api.calls import Call, Endpoint
from workers.api.problems import NO_STORE, Problem, of_status
from workers.api.table import ENDPOINTS

log = structlog.get_logger(__name__)

GetPool = Callable[[], Pool]


def api(pool: GetPool) -> Starlette:
    """Return the app, to be mounted at /api/v1. `pool` is asked at each call, because it opens when the server starts."""
    routes = [Route(one.path, _answer(one, pool), methods=[one.method]) for one in ENDPOINTS]
    routes.append(Route("/openapi.json", _describe, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={HTTPException: _http})


def _answer(endpoint: Endpoint, pool: GetPool) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await _call(endpoint, request, pool())
        except Exception as error:
            problem = _as_problem(error)
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("api_failed", endpoint=endpoint.name, why=problem.name)
            else:
                log.warning("api_refused", endpoint=endpoint.name, why=problem.name)
            return problem.response()

    return answer


async def _call(endpoint: Endpoint, request: Request, db: Pool) -> Response:
    bearer = await reading.bearer_of(request, db, endpoint)
    call = Call(
        db=db,
        bearer=bearer,
        path=reading.path_of(request, endpoint),
        query=reading.query_of(request, endpoint),
        body=await reading.body_of(request, endpoint),
    )
    told = await endpoint.handler(call)
    if endpoint.method != "GET":
        log.info("api_ordered", endpoint=endpoint.name, token=bearer.name)
    return Response(told.model_dump_json(), headers=NO_STORE, media_type="application/json")


def _as_problem(error: Exception) -> Problem:  # noqa: PLR0911 -- one line a kind of failure
    match error:
        case Problem():
            return error
        case Unknown():
            return Problem(HTTPStatus.NOT_FOUND, error.name, error.what, error.to_do)
        case Stale():
            return Problem(HTTPStatus.CONFLICT, error.name, error.what, error.to_do)
        case MalformedIdError():
            return Problem(HTTPStatus.NOT_FOUND, "unknown_id", str(error), "Use an id of the schema directory.")
        case MalformedOrderError():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed", str(error))
        case PortcullisError():
            return Problem(HTTPStatus.CONFLICT, "refused", error.message, error.hint)
        case _:
            return _no_database() if is_weather(error) else _bug()


def _no_database() -> Problem:
    to_do = "Try again. If this was an order, look first whether it was carried out: GET /api/v1/actions."
    detail = "The database can't be asked right now"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "database_away", detail, to_do, headers={"Retry-After": "5"})


def _bug() -> Problem:
    to_do = "Its cause is in the log, as api_failed."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "bug", "A fault of Portcullis itself", to_do)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- by registration
    return of_status(HTTPStatus(error.status_code), error.headers).response()


async def _describe(_: Request) -> Response:
    return JSONResponse(openapi.document(), headers={"Cache-Control": "max-age=300"})
