"""`/metrics`, `/healthz` and `/readyz`, as an ASGI app. Read only, aggregates only; for an address that strangers don't reach.

However many ask, PostgreSQL is asked once a second at most.
"""

import asyncio
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.store.database import Pool
from workers.metrics.families import Scrape
from workers.metrics.quota import QuotaSettings
from workers.metrics.readiness import causes
from workers.metrics.standing import Standing, look

if TYPE_CHECKING:
    import redis

FRESH_SECONDS = 1.0
NO_STORE = {"Cache-Control": "no-store"}


class Lookout:
    """Looks at PostgreSQL and Redis for whoever asks; those who ask within `fresh_seconds` share a look."""

    def __init__(
        self, pool: Pool, client: "redis.Redis", *, quota: QuotaSettings | None = None, fresh_seconds: float = FRESH_SECONDS
    ) -> None:
        self._pool, self._client, self._quota, self._fresh_seconds = pool, client, quota, fresh_seconds
        self._turn = asyncio.Lock()
        self._seen: tuple[float, Standing] | None = None

    async def look(self) -> Standing:
        """Return how everything stands."""
        async with self._turn:
            if self._seen is None or monotonic() - self._seen[0] >= self._fresh_seconds:
                self._seen = (monotonic(), await look(self._pool, self._client, self._quota))
            return self._seen[1]


def metrics_app(lookout: Lookout, *, backlog_seconds: float) -> Starlette:
    """Return the app. `backlog_seconds`: how long due work may wait while nothing moves, before `/readyz` says so."""

    async def metrics(request: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(Scrape(await lookout.look()))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type, **NO_STORE})

    async def readyz(_: Request) -> Response:
        found = causes(await lookout.look(), backlog_seconds=backlog_seconds)
        if not found:
            return JSONResponse({"status": "ready"}, headers=NO_STORE)
        problem = {
            "type": "about:blank",
            "title": "Not ready",
            "status": 503,
            "detail": "; ".join(cause.what for cause in found),
            "causes": [asdict(cause) for cause in found],
        }
        return JSONResponse(problem, 503, headers=NO_STORE, media_type="application/problem+json")

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)  # a loop that is stuck says nothing, and its watchdog ends the process

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])
