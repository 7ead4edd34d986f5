"""A run can be followed as one trace, by every process alike; nobody is named in it; and off it is not even imported."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from jobs import tracing
from jobs.claiming import run_claimed
from jobs.resources import Resources
from jobs.store.batches import Claim, Stage
from tests.builders import an_organization
from tests.pipeline.world import World
from workers.traces import context_of, traced


@pytest.fixture
async def exporter() -> AsyncIterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    async with traced(process="host:1", kind="mailer", processor=SimpleSpanProcessor(exporter)):
        yield exporter


def named(spans: "tuple[ReadableSpan, ...]", name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


async def test_a_run_is_one_trace_from_the_switch_to_the_letters(world: World, exporter: InMemorySpanExporter) -> None:
    run = await world.require(await an_organization(world.db, members=3))
    await world.run_to_end(run)
    spans = exporter.get_finished_spans()
    [root] = named(spans, "run")
    assert root.parent is None
    assert root.attributes == {"portcullis.run": run, "portcullis.members": 4, "portcullis.sessions_ended": 3}
    requested_at = await world.db.fetchval("SELECT requested_at FROM portcullis.run")
    assert root.start_time == int(requested_at.timestamp() * 1e9)
    assert {span.context.trace_id for span in spans if span.context} == {context_of(run, requested_at).trace_id}
    for stage in ("plan", "enforce", "notice", "finish", "report"):
        assert named(spans, stage), stage
        for span in named(spans, stage):
            assert (span.parent and span.parent.span_id) == (root.context and root.context.span_id), stage
    notices = {span.context.span_id for span in named(spans, "notice") if span.context}
    waves = [span for span in named(spans, "wave") if span.parent and span.parent.span_id in notices]
    assert sum(int(str((span.attributes or {})["portcullis.letters"])) for span in waves) == 4


async def test_nobody_is_named_in_a_trace_not_even_by_an_error(world: World, exporter: InMemorySpanExporter) -> None:
    organization = await an_organization(world.db, name="Zanzibar Zeppelins", members=2)
    run = await world.require(organization)

    async def work(_: Resources, __: Claim) -> None:
        raise ValueError("ada@zeppelins.example could not be read")

    [hint] = await world.look()
    await run_claimed(world.resources, work, stages=(Stage.PLAN,), run_id=run, batch_id=hint.batch, token=hint.token)
    await world.hurry()
    await world.run_to_end(run)
    spans = exporter.get_finished_spans()
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, span.status.description) for span in failed] == [("plan", "ValueError")]
    told = "".join(span.to_json() for span in spans)
    for secret in ("@", "Zanzibar", "zeppelins", "Lovelace", "Lindqvist"):
        assert secret not in told


async def test_what_is_put_off_is_no_error(world: World, exporter: InMemorySpanExporter) -> None:
    run = await world.require(await an_organization(world.db, members=2))
    await world.enforce_all(run)
    world.resources.draining.set()
    await world.step("notify_batch")
    world.resources.draining.clear()
    notices = named(exporter.get_finished_spans(), "notice")
    assert notices
    assert {span.status.status_code for span in notices} == {StatusCode.UNSET}
    assert {(span.attributes or {})["portcullis.ending"] for span in notices} == {"deferred"}
    await world.run_to_end(run)


def test_two_runs_are_two_traces_and_every_process_makes_the_same_of_one() -> None:
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    ids = {context_of(run, moment).trace_id for run in (1, 2) for moment in (at, at.replace(microsecond=1))}
    assert len(ids) == 4
    code = "from datetime import *; from workers.traces import context_of; print(context_of(7, datetime(2026, 11, 24, tzinfo=UTC)))"
    told = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"TZ": zone}).stdout
        for zone in ("UTC", "Asia/Tokyo")
    }
    assert len(told) == 1


def test_off_nothing_of_it_is_imported_and_a_span_is_nothing() -> None:
    """redis-py imports the API by itself where it is installed; that is not ours to say."""
    code = (
        "import sys; from workers.runtime import Station, _traced; from jobs import tracing;"
        " print(type(_traced(Station())).__name__, type(tracing.step('wave', letters=1)).__name__,"
        " any(name.startswith(('opentelemetry.exporter', 'workers.traces')) for name in sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for off in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment | off)
        assert ran.stdout.split() == ["nullcontext", "nullcontext", "False"]


async def test_spans_arrive_at_the_endpoint_that_is_configured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        async with traced(process="host:1", kind="enforcer"):
            await world.run_to_end(await world.require(await an_organization(world.db, members=1)))
        server.shutdown()
    assert {path for path, _ in received} == {"/v1/traces"}
    said = b"".join(body for _, body in received)
    assert all(name in said for name in (b"portcullis-enforcer", b"host:1", b"enforce", b"wave"))


async def test_a_collector_that_is_away_holds_up_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with asyncio.timeout(30):
        async with traced(process="host:1", kind="enforcer"):
            status = await world.run_to_end(await world.require(await an_organization(world.db, members=1)))
    assert status["state"] == "done"
    assert isinstance(tracing.step("wave", letters=1), nullcontext)
