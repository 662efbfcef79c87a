"""The spans of a request: one for all of it (the edge), and below it one for each phase of its image and its answers.

The edge's span begins with the request, because its ids go into logs, exemplars and the answer; all others are made
when the request is over, with the times that were noted. Nothing here fails a request. Event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from starlette.types import Scope

from service.api.edge.recording import Recording
from service.api.edge.tracing import TraceContext
from service.api.problems import problem_type
from service.api.request_context import RequestContext
from service.api.request_log import HUNG_UP
from service.api.traces.attributes import (
    NO_ROUTE,
    OTHER_METHOD,
    answer_attributes,
    answer_name,
    edge_attributes,
    known_method,
)
from service.api.traces.pipeline import SpanPipeline, close, pipeline_from_environment
from service.dispatch.reservation import AcceptedRow
from service.errors import ServiceError
from service.metrics.service_metrics import Metrics
from service.phases import within

ERROR_TYPE = "error.type"
NO_FAILURES = ("disconnect", "cancelled")  # the client has left, or what it asked for beside this has failed
UNSET, FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)

logger = logging.getLogger("pheye.traces")


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A span inside of a request, which is over; `failure` is the kind of error that ended it, if one did."""

    name: str
    start_s: float
    end_s: float
    failure: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Event] = ()


class RequestTracing:
    """Records the spans of requests."""

    def __init__(self, pipeline: SpanPipeline) -> None:
        """Record by a pipeline of our own, which is no global one: libraries in this process trace nothing."""
        self._pipeline = pipeline
        self._tracer = pipeline.provider.get_tracer("pheye", version("pheye-service"))

    @classmethod
    def from_environment(cls, metrics: Metrics) -> Self:
        """Record as the `OTEL_*` variables say."""
        return cls(pipeline_from_environment(metrics))

    async def close(self) -> None:
        """Send the last spans; takes no more than some seconds."""
        await close(self._pipeline)

    def begin(self, scope: Scope, context: RequestContext) -> None:
        """Begin a request's span, and give the request its place in the trace, recorded or not."""
        try:
            given, wall_ns = context.trace, time.time_ns() - time.monotonic_ns()
            span = self._tracer.start_span(
                known_method(scope),
                context=_caller(given),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": known_method(scope), "url.scheme": scope.get("scheme", "http")},
                start_time=int(context.arrived_s * 1e9) + wall_ns,
            )
            own = span.get_span_context()
            context.trace = TraceContext(
                trace.format_trace_id(own.trace_id),
                given.parent_id if given else "",
                int(own.trace_flags),
                own.trace_state.to_header(),
                trace.format_span_id(own.span_id),
            )
            context.recording = Recording(span, wall_ns) if span.is_recording() else None
        except Exception:
            logger.exception("no span was begun for request %s", context.id)

    def end(self, scope: Scope, context: RequestContext, route: str) -> None:
        """Make the spans of a request that is over, if they are recorded."""
        recording = context.recording
        if recording is None:
            return
        context.recording = None
        try:
            self._end(recording, scope, context, route)
        except Exception:
            logger.exception("the spans of request %s were not made", context.id)

    def _end(self, recording: Recording, scope: Scope, context: RequestContext, route: str) -> None:
        now_s, edge, method = time.monotonic(), recording.span, known_method(scope)
        failure, own = _failure_of(context), edge.get_span_context()
        for each in recording.phases:
            done = each.phase
            self._emit(recording, own, FinishedSpan(done.name, done.start_s, done.end_s, _kind(each.failure)))
        for row in recording.rows:
            self._answer(recording, context, own, row, failure, now_s)
        name = "HTTP" if method == OTHER_METHOD else method
        edge.update_name(name if route == NO_ROUTE else f"{name} {route}")
        edge.set_attributes(edge_attributes(scope, context, route))
        if context.status >= 500:
            edge.set_status(StatusCode.ERROR, context.refused_because or None)
        if failure:
            edge.set_attribute(ERROR_TYPE, failure)
        edge.end(recording.unix_ns(now_s))

    def _answer(
        self,
        recording: Recording,
        context: RequestContext,
        edge: SpanContext,
        row: AcceptedRow,
        failure: str,
        now_s: float,
    ) -> None:
        history = row.history
        if history is None:
            return
        phases = within(history.phases(row.end.phases if row.end else (), now_s), history.accepted_s, now_s)
        kind = _kind(type(row.failure)) if row.failure else failure or "cancelled"
        events = [
            Event(each.kind, {"pheye.completion_tokens": each.tokens}, recording.unix_ns(each.at_s))
            for each in history.interruptions
        ]
        answer = FinishedSpan(
            answer_name(context, recording),
            history.accepted_s,
            max(each.end_s for each in phases),
            "" if row.end else kind,
            answer_attributes(context, recording, row),
            events,
        )
        own = self._emit(recording, edge, answer)
        for each in phases:
            self._emit(recording, own, FinishedSpan(each.name, each.start_s, each.end_s))

    def _emit(self, recording: Recording, parent: SpanContext, span: FinishedSpan) -> SpanContext:
        """Make a span that is over, and send it on its way.

        Not by the SDK's tracer, whose spans can change until they end, and take several times as long.
        """
        provider, failure = self._pipeline.provider, span.failure
        own = SpanContext(
            parent.trace_id, provider.id_generator.generate_span_id(), False, parent.trace_flags, parent.trace_state
        )
        self._pipeline.spans.on_end(
            ReadableSpan(
                span.name,
                own,
                parent,
                provider.resource,
                {**span.attributes, ERROR_TYPE: failure} if failure else span.attributes,
                span.events,
                status=FAILED if failure and failure not in NO_FAILURES else UNSET,
                start_time=recording.unix_ns(span.start_s),
                end_time=recording.unix_ns(span.end_s),
                instrumentation_scope=recording.span.instrumentation_scope,
            )
        )
        return own


def _caller(given: TraceContext | None) -> Context:
    """Put the caller's span into a context of its own; an empty one if the trace begins here."""
    if given is None:
        return Context()
    parent = SpanContext(
        int(given.trace_id, 16),
        int(given.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(given.flags),
        trace_state=TraceState.from_header([given.state] if given.state else []),
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _failure_of(context: RequestContext) -> str:
    """Name what was wrong with a request, as its line in the log does; empty if nothing was."""
    if context.refused_as or context.status < 400:
        return context.refused_as
    return "disconnect" if context.status == HUNG_UP else str(context.status)


def _kind(failure: type[BaseException] | None) -> str:
    if failure is None:
        return ""
    if issubclass(failure, ServiceError):
        return problem_type(failure).rpartition("/")[2]
    return failure.__name__ if issubclass(failure, Exception) else "cancelled"
