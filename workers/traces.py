"""A run as an OpenTelemetry trace: from the switch over each batch to each wave of letters. Off unless an OTLP endpoint is configured.

    run 7 ──┬─ plan ─┬─ enforce ─┬─ notice ── wave*        (one trace; its id follows from the run)
            └────────┴───────────┴─ finish

Every process that touches a run gives its trace the same id and its batches the same parent, without a word to each other. The span
over the whole run is written by whoever closes it. Attributes are numbers and words of ours: no name, address, or text of an error.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from jobs import tracing
from jobs.errors import Deferred, Obsolete
from jobs.store.batches import Claim

CLOSE_SECONDS = 3

_root: ContextVar[SpanContext | None] = ContextVar("root", default=None)


class RunIds(RandomIdGenerator):
    """Random ids, but for the span over a whole run."""

    def generate_trace_id(self) -> int:
        """Return the run's trace id where the span over the run begins, else a random one."""
        root = _root.get()
        return root.trace_id if root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the span id that the run's batches name as their parent, or a random one."""
        root = _root.get()
        return root.span_id if root else super().generate_span_id()


class OpenTelemetry:
    """The `Tracing` of `jobs.tracing`, over an OpenTelemetry provider that uses `RunIds`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("portcullis")

    @contextmanager
    def batch(self, claim: Claim) -> Iterator[None]:
        """Span over what is done under a claim, below the run's."""
        root = context_of(claim.run_id, claim.requested_at)
        with self._tracer.start_as_current_span(
            str(claim.stage),
            context=trace.set_span_in_context(NonRecordingSpan(root), Context()),
            attributes={"portcullis.run": claim.run_id, "portcullis.batch": claim.batch_id, "portcullis.attempt": claim.attempts},
            record_exception=False,  # its words may name somebody
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (Obsolete, Deferred) as ending:
                span.set_attribute("portcullis.ending", type(ending).__name__.lower())
                raise
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def step(self, name: str, counts: Mapping[str, int]) -> AbstractContextManager[object]:
        """Span over a part of a batch."""
        attributes = {f"portcullis.{what}": number for what, number in counts.items()}
        return self._tracer.start_as_current_span(name, attributes=attributes, record_exception=False, set_status_on_exception=False)

    def run(self, claim: Claim, counts: Mapping[str, int]) -> None:
        """Span over the whole run, from when it applied to now."""
        token = _root.set(context_of(claim.run_id, claim.requested_at))
        try:
            span = self._tracer.start_span(
                "run",
                context=Context(),
                start_time=int(claim.requested_at.timestamp() * 1e9),
                attributes={"portcullis.run": claim.run_id} | {f"portcullis.{what}": number for what, number in counts.items()},
            )
        finally:
            _root.reset(token)
        span.end()


def context_of(run_id: int, requested_at: datetime) -> SpanContext:
    """Return the ids of the span over a run: the same in every process."""
    digest = hashlib.sha256(f"portcullis run {run_id} {requested_at.timestamp():.6f}".encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


@asynccontextmanager
async def traced(*, process: str, kind: str, processor: SpanProcessor | None = None) -> AsyncIterator[None]:
    """Have the stages of this process traced while the block lasts. By default to where the `OTEL_EXPORTER_OTLP_...` variables say."""
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", f"portcullis-{kind}"), "service.instance.id": process})
    provider = TracerProvider(resource=resource, id_generator=RunIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    tracing.provide(OpenTelemetry(provider))
    try:
        yield
    finally:
        tracing.withdraw()
        ending = asyncio.get_running_loop().run_in_executor(None, provider.shutdown)
        await asyncio.wait({ending}, timeout=CLOSE_SECONDS)
