"""A collector of traces on loopback: it takes OTLP over HTTP and keeps the spans as plain data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.serving import wait_until


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it arrived."""

    name: str
    trace_id: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    kind: int
    status: int
    attributes: dict[str, Any]
    events: tuple[tuple[str, dict[str, Any]], ...]
    state: str
    resource: dict[str, Any]

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to it.

    Attributes:
        raw: the bodies, as they came.
        spans: all of them, in the order of arrival.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.raw: list[bytes] = []
        self.spans: list[CollectedSpan] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trace(self, trace_id: str, edges: int = 1) -> list[CollectedSpan]:
        """The spans of a trace, when so many requests of it have come; each comes with all that is below it."""

        def found() -> list[CollectedSpan]:
            mine = [span for span in list(self.spans) if span.trace_id == trace_id]
            return mine if sum(span.kind == SERVER for span in mine) >= edges else []

        spans: list[CollectedSpan] = wait_until(found)
        return sorted(spans, key=lambda span: (span.start_ns, span.end_ns))

    def take(self, content: bytes) -> None:
        self.raw.append(content)
        for group in ExportTraceServiceRequest.FromString(content).resource_spans:
            resource = _plain(group.resource.attributes)
            self.spans += [_read(span, resource) for scope in group.scope_spans for span in scope.spans]


SERVER, ERROR = 2, 2  # the protocol's numbers for the kind of a server's span, and for the status of a failure


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        self.server.take(content)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _read(span: Any, resource: dict[str, Any]) -> CollectedSpan:
    return CollectedSpan(
        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.start_time_unix_nano,
        span.end_time_unix_nano, span.kind, span.status.code, _plain(span.attributes),
        tuple((event.name, _plain(event.attributes)) for event in span.events), span.trace_state, resource,
    )  # fmt: skip


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector while it runs."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()
