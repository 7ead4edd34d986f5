"""One scrape of the real metrics app, read back as Prometheus would read it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from jobs.store import workers
from jobs.store.database import Pool
from workers.broker.portcullis_broker import connect
from workers.metrics.app import Lookout, metrics_app
from workers.metrics.quota import QuotaSettings
from workers.metrics.telling import Teller

NOWHERE = "redis://127.0.0.1:9/0"
"""Nobody listens at the discard port."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """What was said, and the value of each series, spelled as in the text."""

    text: str
    series: dict[str, float]

    def __getitem__(self, series: str) -> float:
        return self.series[series]


@dataclass(kw_only=True)
class Exporter:
    """The metrics server, and one worker process of this test that counts."""

    client: httpx.AsyncClient
    pool: Pool
    teller: Teller

    async def scrape(self, *, accept: str = "text/plain") -> Scraped:
        """Let the process tell what it has counted, and scrape."""
        await self.teller.tell()
        response = await self.client.get("/metrics", headers={"accept": accept})
        assert response.status_code == 200
        return Scraped(response.text, series_of(families(response.text)))

    async def ready(self) -> tuple[int, list[str]]:
        """Return the status of `/readyz` and the names of its causes."""
        response = await self.client.get("/readyz")
        if response.status_code == 200:
            return 200, []
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert problem["status"] == response.status_code
        return response.status_code, [cause["name"] for cause in problem["causes"]]

    async def announce(self, *queues: str) -> None:
        """Have worker processes been heard of."""
        for queue in queues:
            await workers.announce(self.pool, f"host:1/{queue}", queue, 2, "1")


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


def series_of(found: list[Metric]) -> dict[str, float]:
    """Return every sample under its name and labels. Raises for one that is there twice."""
    series: dict[str, float] = {}
    for sample in (sample for family in found for sample in family.samples):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        spelled = f"{sample.name}{{{labels}}}" if labels else sample.name
        assert spelled not in series, f"{spelled} is there twice"
        series[spelled] = sample.value
    return series


@asynccontextmanager
async def an_exporter(
    pool: Pool, redis_url: str, *, asks: Pool | None = None, quota: QuotaSettings | None = None
) -> AsyncIterator[Exporter]:
    """Serve, without a socket. `asks`: the pool that the server has, if it is not the workers'."""
    client = connect(redis_url)
    app = metrics_app(Lookout(asks or pool, client, quota=quota, fresh_seconds=0), backlog_seconds=300)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://metrics") as http:
        yield Exporter(client=http, pool=pool, teller=Teller(pool, process="test:1", kind="mailer"))
    client.close()
