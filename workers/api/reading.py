"""Reads a request: whose token it carries, its path, its query, its body. Bounded, strict, and nothing of it is repeated in an answer."""

import json
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from jobs.domain.permissions import Role
from jobs.store import tokens
from jobs.store.database import Pool
from jobs.store.tokens import Bearer
from workers.api.calls import Endpoint
from workers.api.problems import Fault, Problem, malformed

LARGEST_BODY: Final = 64 * 1024
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="portcullis"'}
EMPTY: Final[dict[str, str]] = {}


async def bearer_of(request: Request, db: Pool, endpoint: Endpoint) -> Bearer:
    """Return who calls (RFC 6750).

    Raises:
        Problem: Nobody, nobody any more, or somebody who may only look.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = await tokens.find(db, token.strip()) if scheme.lower() == "bearer" else None
    if bearer is None:
        to_do = "Send `Authorization: Bearer ...` with a token of `portcullis tokens add`."
        raise Problem(HTTPStatus.UNAUTHORIZED, "no_token", "No token that is good came with this request", to_do, headers=CHALLENGE)
    if endpoint.needs is Role.OPERATOR and bearer.role is not Role.OPERATOR:
        raise Problem(HTTPStatus.FORBIDDEN, "viewer", "This token may look, and not order anything", "Use an operator's token.")
    return bearer


def path_of(request: Request, endpoint: Endpoint) -> Any:
    """Return the path's words. Raises `Problem`."""
    return _checked(endpoint.path_model, dict(request.path_params), "path")


def query_of(request: Request, endpoint: Endpoint) -> Any:
    """Return the query. A word that comes twice has no meaning. Raises `Problem`."""
    pairs = request.query_params.multi_items()
    twice = sorted({name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1})
    if twice:
        faults = [Fault(where="query", what="a parameter comes more than once")]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed", "The request is not what the description says", faults=faults)
    if endpoint.query_model is None and pairs:
        faults = [Fault(where="query", what="this takes no parameters")]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed", "The request is not what the description says", faults=faults)
    return _checked(endpoint.query_model, dict(pairs), "query")


async def body_of(request: Request, endpoint: Endpoint) -> Any:
    """Return the body. Raises `Problem`."""
    if endpoint.body_model is None:
        return None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", "A body is application/json")
    return _checked(endpoint.body_model, _json(await _read(request)), "body")


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"A body has {LARGEST_BODY} bytes at most")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        raise Problem(HTTPStatus.BAD_REQUEST, "not_json", "The body can't be read as JSON (RFC 8259), each name once an object") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says one thing twice: two readers of it would see two things."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError
    return read


def _refuse(_: str) -> Any:
    """`NaN` and `Infinity` are Python's, not JSON's."""
    raise ValueError


def _checked(model: type[BaseModel] | None, given: Any, where: str) -> Any:
    if model is None:
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise malformed(error, where) from None
