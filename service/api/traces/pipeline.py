"""The way of spans out of the process: a bounded queue, batches, and an end that does not wait for a dead collector.

The SDK of OpenTelemetry reads its own `OTEL_*` variables here. Spans come from the event loop; a thread of the SDK
sends them, so that no request waits for a collector.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from service.api.connections.quiet_log import quieten
from service.api.traces.bounded_session import BoundedSession
from service.metrics.service_metrics import Metrics

MOST_HELD = 2048  # spans; the specification's default
MOST_AT_ONCE = 512  # likewise
CLOSE_S = 2.0  # for the last spans at the end of the process
NOISY = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
CREDENTIAL_PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)  # fmt: skip
UNNAMED = "unknown_service"


@dataclass(frozen=True, slots=True)
class SpanPipeline:
    """A tracer provider of the SDK, which samples, and the processor that takes finished spans."""

    provider: TracerProvider
    spans: CountedSpans


def pipeline_from_environment(metrics: Metrics, exporter: SpanExporter | None = None) -> SpanPipeline:
    """Make what records spans and sends them, as the `OTEL_*` variables say.

    Args:
        metrics: spans are counted there.
        exporter: in place of one that speaks OTLP.

    Raises:
        ValueError: a variable has a value that means nothing.
    """
    quieten(NOISY)
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    spans = CountedSpans(exporter or OTLPSpanExporter(session=_session()), metrics, _most_held())
    provider.add_span_processor(spans)
    return SpanPipeline(provider, spans)


async def close(pipeline: SpanPipeline, within_s: float = CLOSE_S) -> None:
    """Send what is left, and return when that is done or its time is over.

    The SDK would wait for half a minute. Its threads and this one are daemons, so the process may end before they do.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        pipeline.provider.shutdown()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    try:
        threading.Thread(target=shut_down, name="pheye-traces-end", daemon=True).start()
        async with asyncio.timeout(within_s):
            await done.wait()
    except TimeoutError:
        logging.getLogger("pheye.traces").warning("the last spans were not sent within %.0f s", within_s)
    except RuntimeError as error:  # the system gives no more threads; the rest of the end goes on
        logging.getLogger("pheye.traces").warning("the last spans were not sent: %s", error)


def _session() -> BoundedSession | None:
    """Return the session that sends spans; None where a credential provider brings its own."""
    return None if any(os.environ.get(name) for name in CREDENTIAL_PROVIDERS) else BoundedSession()


def _most_held() -> int:
    given = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "").strip()
    most = int(given or MOST_HELD) if given.isdecimal() or not given else 0
    if most < 1:
        raise ValueError(f"{OTEL_BSP_MAX_QUEUE_SIZE}: write a number of spans, such as {MOST_HELD}")
    return most


def _resource() -> Resource:
    """Describe this process; the environment's own words count more."""
    given = Resource.create()
    own = {SERVICE_VERSION: version("pheye-service"), SERVICE_INSTANCE_ID: str(uuid.uuid4())}
    described = Resource(own).merge(given)
    unnamed = str(given.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED)
    return described.merge(Resource({SERVICE_NAME: "pheye"})) if unnamed else described


class CountedSpans(SpanProcessor):
    """A batch processor whose spans are counted, and which drops those for which there is no room, without a word."""

    def __init__(self, exporter: SpanExporter, metrics: Metrics, most: int) -> None:
        """Send spans by `exporter`, of which at most `most` wait or are on their way."""
        self._counter = metrics.spans
        self._most, self._held = most, 0
        self._lock = threading.Lock()
        at_once = None if os.environ.get(OTEL_BSP_MAX_EXPORT_BATCH_SIZE) else min(most, MOST_AT_ONCE)
        exported = _CountingExporter(exporter, self)
        self._batches = BatchSpanProcessor(exported, max_queue_size=most, max_export_batch_size=at_once)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is done before a span's end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span to be sent, if there is room for it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            fits = self._held < self._most
            self._held += fits
        if fits:
            self._batches.on_end(span)
        else:
            self._counter.labels("dropped").inc()

    def sent(self, count: int, *, well: bool) -> None:
        """Note that so many spans have gone, to their collector or nowhere."""
        self._counter.labels("exported" if well else "failed").inc(count)
        with self._lock:
            self._held -= count

    def shutdown(self) -> None:
        """Send what is left."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send what is there now."""
        return self._batches.force_flush(timeout_millis)


class _CountingExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter, counted: CountedSpans) -> None:
        self._exporter, self._counted = exporter, counted

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._counted.sent(len(spans), well=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
