"""The API's own description, OpenAPI 3.1, made from the models that check requests and answers."""

from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from workers.api.calls import Endpoint
from workers.api.problems import MEDIA_TYPE, ProblemDetails
from workers.api.table import ENDPOINTS

BASE = "/api/v1"
TEMPLATE = "#/components/schemas/{model}"
MEANINGS = {
    HTTPStatus.BAD_REQUEST: "The body can't be read as JSON.",
    HTTPStatus.UNAUTHORIZED: "No token that is good came with the request.",
    HTTPStatus.FORBIDDEN: "The token may look, and not order anything.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.CONFLICT: "There is nothing to act on, or not any more; nothing was done.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is not what this description says.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of Portcullis itself.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database can't be asked right now.",
}
ALWAYS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
FOR_ORDERS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@cache
def document() -> dict[str, Any]:
    """Return the description."""
    schemas, definitions = _schemas()
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": version("portcullis"),
            "description": "See and steer every run and queue: what the console does, for programs.",
        },
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "From `portcullis tokens add`."}},
        },
    }


def _schemas() -> tuple[dict[type[BaseModel], dict[str, Any]], dict[str, Any]]:
    """Return each model's schema, and all definitions that they refer to."""
    asked = {one.body_model for one in ENDPOINTS if one.body_model}
    answered = {one.answer for one in ENDPOINTS} | {ProblemDetails}
    inputs = [(model, "validation") for model in sorted(asked, key=lambda model: model.__name__)]
    outputs = [(model, "serialization") for model in sorted(answered, key=lambda model: model.__name__)]
    schemas, definitions = models_json_schema(
        [*inputs, *outputs],  # type: ignore[list-item]  # the modes are the words that are meant
        ref_template=TEMPLATE,
        schema_generator=GenerateJsonSchema,
    )
    return {model: schema for (model, _), schema in schemas.items() if issubclass(model, BaseModel)}, definitions.get("$defs", {})


def _operation(endpoint: Endpoint, schemas: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"For {'viewers and operators' if endpoint.method == 'GET' else 'operators'}.",
        "parameters": [*_parameters(endpoint.path_model, "path"), *_parameters(endpoint.query_model, "query")],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": schemas[endpoint.answer]}}},
            **{str(int(status)): _problem(status, schemas) for status in _statuses(endpoint)},
        },
    }
    if endpoint.body_model:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[endpoint.body_model]}}}
    return operation


def _statuses(endpoint: Endpoint) -> list[HTTPStatus]:
    return sorted({*ALWAYS, *endpoint.problems, *(FOR_ORDERS if endpoint.body_model else ())})


def _problem(status: HTTPStatus, schemas: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schemas[ProblemDetails]}}}
    if status is HTTPStatus.UNAUTHORIZED:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    return answer


def _parameters(model: type[BaseModel] | None, where: str) -> list[dict[str, Any]]:
    """Return a model's fields as parameters. In an address there is no null: what may be left out is left out."""
    if model is None:
        return []
    schema = model.model_json_schema()
    needed = schema.get("required", [])
    return [
        {"name": name, "in": where, "required": name in needed, **_described(_without_null(field))}
        for name, field in schema["properties"].items()
    ]


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    found = [one for one in field.get("anyOf", ()) if one != {"type": "null"}]
    kept = {name: value for name, value in field.items() if name not in ("anyOf", "title") and not (name == "default" and value is None)}
    return {**kept, **found[0]} if found else kept


def _described(field: dict[str, Any]) -> dict[str, Any]:
    description = field.pop("description", "")
    examples = field.pop("examples", [])
    described: dict[str, Any] = {"schema": field, "description": description}
    return {**described, "example": examples[0]} if examples else described
