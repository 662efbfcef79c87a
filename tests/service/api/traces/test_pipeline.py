"""The way of spans out of the process: bounded, counted, and over in time whatever the collector does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from service.api.traces.pipeline import close, pipeline_from_environment
from service.metrics.service_metrics import Metrics
from tests.support.serving import wait_until


class Odd(SpanExporter):
    """Waits for leave, and then does what it is told."""

    def __init__(self, result: SpanExportResult | Exception) -> None:
        self.result, self.leave, self.names = result, threading.Event(), list[str]()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.leave.wait()
        self.names += [span.name for span in spans]
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture(autouse=True)
def _short_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")


def counts(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.spans.collect()
    return {each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("_total")}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (SpanExportResult.SUCCESS, "exported"),
        (SpanExportResult.FAILURE, "failed"),
        (ValueError("no such thing"), "failed"),
    ],
    ids=["well", "badly", "broken"],
)
def test_spans_beyond_the_bound_are_dropped_and_every_span_is_counted_once(
    result: SpanExportResult | Exception, outcome: str
) -> None:
    metrics, exporter = Metrics(), Odd(result)
    pipeline = pipeline_from_environment(metrics, exporter)
    tracer = pipeline.provider.get_tracer("test")
    for number in range(10):
        tracer.start_span(str(number)).end()
    assert counts(metrics) == {"exported": 0, "failed": 0, "dropped": 6}
    exporter.leave.set()
    wait_until(lambda: counts(metrics)[outcome] == 4)
    tracer.start_span("later").end()  # there is room again
    asyncio.run(close(pipeline))
    assert counts(metrics) == {"exported": 0, "failed": 0, "dropped": 6} | {outcome: 5}
    assert sorted(exporter.names) == ["0", "1", "2", "3", "later"]


def test_the_end_waits_for_no_collector_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Odd(SpanExportResult.SUCCESS)
    pipeline = pipeline_from_environment(Metrics(), exporter)
    pipeline.provider.get_tracer("test").start_span("last").end()

    async def end() -> None:
        async with asyncio.timeout(20):
            await close(pipeline, 0.05)

    asyncio.run(end())
    assert "the last spans were not sent within" in caplog.text
    exporter.leave.set()
    wait_until(lambda: exporter.names == ["last"])


def test_without_a_thread_for_the_last_spans_the_end_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_from_environment(Metrics(), Odd(SpanExportResult.SUCCESS))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        asyncio.run(close(pipeline))
    assert "the last spans were not sent: can't start new thread" in caplog.text
    pipeline.provider.shutdown()
