"""Spans that are not sent anywhere: which requests are recorded, answers that go wrong, and tracing that does."""

from __future__ import annotations

import logging
import time
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.datastructures import Headers

from model.request import Sampling
from service.api.edge.tracing import TraceContext
from service.api.request_context import RequestContext
from service.api.traces.pipeline import pipeline_from_environment
from service.api.traces.tracing import RequestTracing
from service.dispatch.reservation import AcceptedRow, Reservation
from service.errors import RowFailed, Unavailable
from service.messages.rows import Row
from service.metrics.service_metrics import Metrics

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/vqa", "headers": []}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> RequestTracing:
    return RequestTracing(pipeline_from_environment(Metrics(), spans))


def told(tracing: RequestTracing, spans: InMemorySpanExporter) -> dict[str, Any]:
    tracing._pipeline.provider.shutdown()
    return {span.name: span for span in spans.get_finished_spans()}


def asked(row: Row, context: RequestContext) -> AcceptedRow:
    reservation = Reservation(Mock(), 1, 60.0)
    accepted = AcceptedRow(row, Mock(), reservation, 0)
    reservation.rows = [accepted]
    assert context.recording is not None
    context.recording.rows, context.recording.model = reservation.rows, "eye"
    return accepted


@pytest.mark.parametrize(
    ("sampler", "share", "flags", "recorded"),
    [
        ("parentbased_traceidratio", "0", None, False),
        ("parentbased_traceidratio", "0", "01", True),
        ("parentbased_traceidratio", "1", "00", False),
        ("traceidratio", "0", "01", False),
        ("always_on", "", "00", True),
        ("parentbased_always_off", "", None, False),
    ],
    ids=["none", "caller-does", "caller-does-not", "whatever-the-caller-does", "all", "callers-only"],
)
def test_the_standard_variables_say_which_requests_are_recorded(
    sampler: str, share: str, flags: str | None, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    exporter = InMemorySpanExporter()
    tracing = RequestTracing(pipeline_from_environment(Metrics(), exporter))
    given = {} if flags is None else {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
    context = RequestContext(trace=TraceContext.of(Headers(given)), sent_status=200)
    tracing.begin(SCOPE, context)
    assert context.trace is not None
    assert context.trace.sampled == (context.recording is not None) == (context.exemplar is not None) == recorded
    assert flags is None or context.trace.trace_id == TRACE
    tracing.end(SCOPE, context, "/v1/vqa")
    assert len(told(tracing, exporter)) == recorded


def test_an_answer_that_fails_says_why_and_one_beside_it_ends_with_the_request(
    tracing: RequestTracing, spans: InMemorySpanExporter
) -> None:
    context = RequestContext(outcome=500, sent_status=200, refused_as="row-failed", refused_because="the model failed")
    tracing.begin(SCOPE, context)
    row = asked(Row("a", "a secret", Sampling(), traced=True), context)
    row.reservation.put(0, RowFailed("the model failed"))
    tracing.end(SCOPE, context, "/v1/vqa")
    found = told(tracing, spans)
    edge, answer = found["POST /v1/vqa"], found["generate_content eye"]
    assert (edge.status.status_code, edge.status.description) == (StatusCode.ERROR, "the model failed")
    assert edge.attributes["http.response.status_code"] == 500  # the stream's 200 was not how it ended
    assert answer.status.status_code is StatusCode.ERROR
    assert edge.attributes["error.type"] == answer.attributes["error.type"] == "row-failed"
    assert found["queue"].parent.span_id == answer.context.span_id
    assert answer.parent.span_id == edge.context.span_id


def test_a_phase_that_fails_has_the_kind_of_its_error(tracing: RequestTracing, spans: InMemorySpanExporter) -> None:
    context = RequestContext(sent_status=503, refused_as="unavailable")
    tracing.begin(SCOPE, context)
    with pytest.raises(Unavailable), context.timed("fetch"):
        raise Unavailable("not now")
    with context.timed("preprocess"):
        pass
    tracing.end(SCOPE, context, "other")
    found = told(tracing, spans)
    assert found.keys() == {"POST", "fetch", "preprocess"}
    assert found["fetch"].attributes["error.type"] == "unavailable"
    assert found["preprocess"].status.status_code is StatusCode.UNSET


def test_times_of_a_clock_that_is_not_shared_stay_within_the_request(
    tracing: RequestTracing, spans: InMemorySpanExporter
) -> None:
    context = RequestContext(sent_status=200)
    tracing.begin(SCOPE, context)
    row = asked(Row("a", "?", Sampling(), traced=True), context)
    assert row.history is not None
    row.history.admitted(1e9)
    tracing.end(SCOPE, context, "/v1/vqa")
    edge = told(tracing, spans)["POST /v1/vqa"]
    assert all(
        edge.start_time <= span.start_time <= span.end_time <= edge.end_time for span in spans.get_finished_spans()
    )
    assert abs(edge.start_time - time.time_ns()) < 3600e9


@pytest.mark.parametrize("when", ["begin", "end"])
def test_a_request_is_answered_though_its_spans_cannot_be_made(
    tracing: RequestTracing, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = RequestContext(sent_status=200)
    tracer = tracing._tracer
    if when == "end":
        tracing.begin(SCOPE, context)
        with context.timed("preprocess"):
            pass
    tracing._tracer = Mock(start_span=Mock(side_effect=RuntimeError("broken")))
    tracing._emit = Mock(side_effect=RuntimeError("broken"))  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        tracing.begin(SCOPE, context) if when == "begin" else tracing.end(SCOPE, context, "/v1/vqa")
        tracing.end(SCOPE, context, "/v1/vqa")
    assert caplog.text.count("RuntimeError: broken") == 1
    assert context.recording is None
    tracing._tracer = tracer
    tracing._pipeline.provider.shutdown()
