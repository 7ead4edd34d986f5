"""One endpoint of the API, and one call of it: who calls, what was read of the request, and the database to ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from jobs.domain.permissions import Role
from jobs.store.database import Pool
from jobs.store.ids import IdTypes
from jobs.store.steering import Order
from jobs.store.tokens import Bearer


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `path`, `query` and `body` are the endpoint's models, checked."""

    db: Pool
    bearer: Bearer
    path: Any = None
    query: Any = None
    body: Any = None

    def order(self) -> Order:
        """Return the order that the body gives, with its reason."""
        return Order(actor=self.bearer.name, via="api", reason=self.body.reason)

    async def id_types(self) -> IdTypes:
        """Return how ids are read here."""
        return await IdTypes.read(self.db)


Handler = Callable[[Call], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One way in. `problems`: what it can answer beside those that every one can."""

    path: str
    handler: Handler
    answer: type[BaseModel]
    method: str = "GET"
    path_model: type[BaseModel] | None = None
    query_model: type[BaseModel] | None = None
    body_model: type[BaseModel] | None = None
    problems: tuple[HTTPStatus, ...] = ()

    @property
    def needs(self) -> Role:
        """Looks are for both roles, orders for operators."""
        return Role.VIEWER if self.method == "GET" else Role.OPERATOR

    @property
    def name(self) -> str:
        """The handler's own word."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]
