"""A program that uses the API with a token, or without, and what it makes of a problem."""

from dataclasses import dataclass
from typing import Any

import httpx

from jobs.store.steering import Order

ORDER = Order(actor="the test", via="cli", reason="to be tested")


@dataclass(kw_only=True)
class Program:
    """A program with a token, or without."""

    http: httpx.AsyncClient
    token: str | None = None

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(f"/api/v1{path}", headers=self.headers(), **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.post(f"/api/v1{path}", headers=self.headers(), json={"reason": "on call"} | (body or {}), **options)

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return status and name of a problem that is one (RFC 9457), and that says what it is."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    told = response.json()
    assert told["status"] == response.status_code
    assert told["title"]
    assert told["detail"]
    return response.status_code, told["name"]
