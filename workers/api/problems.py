"""What the API refuses, as RFC 9457 says it: `application/problem+json`, with a name for programs and what to do for people."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="Where, such as `body.reason`.")
    what: str = Field(description="What, in words.")


class ProblemDetails(BaseModel):
    """Why nothing was done (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "name", "detail"]})

    type: str = Field(default="about:blank", description="`name` says more.")
    title: str = Field(description="The phrase that belongs to the status.")
    status: int = Field(description="The status of the answer.")
    name: str = Field(description="A constant word for programs.")
    detail: str = Field(description="What is the matter, in a sentence.")
    to_do: str | None = Field(default=None, description="What to do about it.")
    faults: list[Fault] | None = Field(default=None, description="Everything that is wrong with the request.")


class Problem(Exception):  # noqa: N818 -- an answer, not an error of the program
    """Raised anywhere, answered as it is; nothing was done."""

    def __init__(
        self,
        status: HTTPStatus,
        name: str,
        detail: str,
        to_do: str | None = None,
        *,
        faults: list[Fault] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.name, self.headers = status, name, dict(headers or {})
        self.details = ProblemDetails(title=status.phrase, status=status, name=name, detail=detail, to_do=to_do, faults=faults)
        super().__init__(detail)

    def response(self) -> JSONResponse:
        """Return the answer."""
        body = self.details.model_dump(exclude_none=True)
        return JSONResponse(body, self.status, headers={**NO_STORE, **self.headers}, media_type=MEDIA_TYPE)


def malformed(error: ValidationError, where: str) -> Problem:
    """Say everything that is wrong with a part of a request; what was sent is not repeated."""
    faults = [Fault(where=".".join([where, *map(str, fault["loc"])]), what=_words(fault)) for fault in error.errors()]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed", "The request is not what the description says", faults=faults)


def _words(fault: Any) -> str:
    return str(fault["msg"]).removeprefix("Value error, ")


def of_status(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Problem:
    """Say what is the matter with a request that came to no endpoint."""
    name = {HTTPStatus.NOT_FOUND: "no_endpoint", HTTPStatus.METHOD_NOT_ALLOWED: "method"}.get(status, "http")
    to_do = "GET /api/v1/openapi.json describes what there is."
    return Problem(status, name, status.description or status.phrase, to_do, headers=headers)
