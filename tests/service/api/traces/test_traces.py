"""Traces of a real server, at a real collector: spans, ids that agree everywhere, and nothing that is private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.collector import ERROR, SERVER, CollectedSpan, Collector, collecting
from tests.support.serving import ENDLESS, Server, body, data_uri, events_of, image_file, running_server, wait_until

PARENT = "00f067aa0ba902b7"
SECRET_TEXT, SECRET_QUERY = "what is my secret plan", "secret-in-the-query"
KEY = {"Authorization": "Bearer web-secret"}
PICTURE = {"type": "image_url", "image_url": {"url": data_uri(image_file())}}
CHAT = {"messages": [{"role": "user", "content": [{"type": "text", "text": SECRET_TEXT}, PICTURE]}]}
TOOL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {
    "image_url": data_uri(image_file()), "questions": [SECRET_TEXT]}}}  # fmt: skip
LONG = {"max_tokens": 400, **ENDLESS}
ORDER = re.compile("(queue )+(encode (queue )?)?prefill (decode )?")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def server(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys.write_text("[[key]]\nname = 'web'\nkey = 'web-secret'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with running_server(log_format="json", mcp=True, default_max_tokens=6, keys_file=keys) as running:
            yield running


def ask(server: Server, path: str, asked: Any, *, flags: str = "01", **headers: str) -> tuple[str, httpx.Response]:
    """Send a request as a part of a trace of its own, and return the trace's id too."""
    trace_id = uuid4().hex
    sent = KEY | {"traceparent": f"00-{trace_id}-{PARENT}-{flags}", "tracestate": "vendor=1"} | headers
    return trace_id, httpx.post(server.url + path, json=asked, headers=sent, timeout=60)


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        lines = map(json.loads, server.log.splitlines())
        return [each for each in lines if each["logger"] == "pheye.access" and each["request_id"] == request_id]

    line: dict[str, Any] = wait_until(found)[-1]
    return line


def exemplars(server: Server) -> set[tuple[str, str, str]]:
    accepted = KEY | {"accept": "application/openmetrics-text; version=1.0.0"}
    text = httpx.get(f"{server.url}/metrics", headers=accepted).text
    return {
        (family.name, sample.exemplar.labels["trace_id"], sample.exemplar.labels["span_id"])
        for family in text_string_to_metric_families(text) for sample in family.samples if sample.exemplar
    }  # fmt: skip


def below(spans: list[CollectedSpan], above: CollectedSpan) -> list[CollectedSpan]:
    return [span for span in spans if span.parent == above.id]


def edge_of(spans: list[CollectedSpan]) -> CollectedSpan:
    (edge,) = (span for span in spans if span.parent == PARENT)
    return edge


ASKED: dict[str, tuple[str, Any]] = {
    "caption": ("/v1/caption", body(settings={})),
    "several": ("/v1/vqa", body(questions=[SECRET_TEXT, "And?", "Why?"], settings={})),
    "stream": ("/v1/vqa", body(question=SECRET_TEXT, stream=True)),
    "chat": ("/v1/chat/completions", CHAT),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASKED)
def test_a_request_has_a_span_for_each_phase_and_the_same_ids_everywhere(
    server: Server, collector: Collector, kind: str
) -> None:
    path, asked = ASKED[kind]
    trace_id, response = ask(server, path, asked)
    assert response.is_success, response.text
    spans = collector.trace(trace_id)
    edge, line = edge_of(spans), line_of(server, response.headers["x-request-id"])
    assert response.headers["traceparent"] == f"00-{trace_id}-{edge.id}-01"
    assert (line["trace_id"], line["span_id"]) == (trace_id, edge.id)
    assert ("pheye_request_seconds", trace_id, edge.id) in exemplars(server)
    assert (edge.name, edge.kind, edge.status, edge.state) == (f"POST {path}", SERVER, 0, "vendor=1")
    told = {"http.route": path, "http.response.status_code": 200, "pheye.request_id": line["request_id"]}
    assert told.items() <= edge.attributes.items()
    assert edge.resource["service.name"] == "pheye"
    assert edge.resource["deployment.environment.name"] == "test"
    preprocess, *answers = below(spans, edge)
    assert preprocess.name == "preprocess"
    assert len(answers) == (3 if kind == "several" else 1)
    for answer in answers:
        _check_answer(answer, below(spans, answer), line, chat=kind == "chat", stream=kind == "stream")
    assert all(edge.start_ns <= span.start_ns <= span.end_ns <= edge.end_ns for span in spans)
    assert sum(answer.attributes["gen_ai.usage.output_tokens"] for answer in answers) == line["completion_tokens"]


def _check_answer(
    answer: CollectedSpan, phases: list[CollectedSpan], line: dict[str, Any], *, chat: bool, stream: bool
) -> None:
    assert answer.name.partition(" ")[0] == ("chat" if chat else "generate_content")
    told = answer.attributes
    assert told["gen_ai.response.id"] == line["request_id"]
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == answer.name.partition(" ")[2]
    assert told["gen_ai.request.stream"] == stream
    assert told["gen_ai.usage.input_tokens"] > 0
    assert told["gen_ai.response.finish_reasons"] in (["stop"], ["length"])
    assert ORDER.fullmatch("".join(f"{each.name} " for each in phases))
    assert phases[0].start_ns == answer.start_ns
    assert all(before.end_ns == after.start_ns for before, after in pairwise(phases))  # no gap, no overlap
    assert phases[-1].end_ns == answer.end_ns
    (prefill,) = (each for each in phases if each.name == "prefill")
    assert prefill.seconds == pytest.approx(told["pheye.prefill_s"], abs=1e-4)


def test_an_agents_call_and_the_request_that_it_leads_to_are_one_trace(server: Server, collector: Collector) -> None:
    trace_id, response = ask(server, "/mcp", TOOL, accept="application/json, text/event-stream")
    assert not response.json()["result"].get("isError"), response.text
    spans = collector.trace(trace_id, 2)
    outer = edge_of(spans)
    (inner,) = below(spans, outer)
    assert (outer.name, inner.name, inner.state) == ("POST /mcp", "POST /v1/vqa", "vendor=1")
    assert [span.name.partition(" ")[0] for span in below(spans, inner)] == ["preprocess", "generate_content"]


def test_who_brings_no_trace_gets_one_and_who_does_not_record_it_is_obeyed(
    server: Server, collector: Collector
) -> None:
    fresh = httpx.post(f"{server.url}/v1/caption", json=body(), headers=KEY | {"traceparent": "00-x-y-01"})
    _, trace_id, span_id, flags = fresh.headers["traceparent"].split("-")
    (edge,) = (span for span in collector.trace(trace_id) if span.kind == SERVER)
    assert (edge.parent, edge.id) == ("", span_id)
    assert int(flags, 16) & 1
    unrecorded, response = ask(server, "/v1/caption", body(), flags="00")
    assert response.headers["traceparent"].startswith(f"00-{unrecorded}-")
    assert response.headers["traceparent"].endswith("-00")
    assert line_of(server, response.headers["x-request-id"])["trace_id"] == unrecorded
    assert not any(trace == unrecorded for _, trace, _ in exemplars(server))
    probe = httpx.get(f"{server.url}/livez")
    assert "traceparent" not in probe.headers
    last, _ = ask(server, "/v1/estimate", {"question": "?"})
    collector.trace(last)  # whatever came before has come
    assert not [span for span in collector.spans if span.trace_id == unrecorded]
    assert not [
        span for span in collector.spans if span.attributes.get("http.route") in ("/livez", "/readyz", "/metrics")
    ]


def test_a_refusal_and_a_client_that_leaves_are_told_from_failures(server: Server, collector: Collector) -> None:
    refused, response = ask(server, f"/v1/caption?key={SECRET_QUERY}", body(image_url="data:image/png;base64,AAAA"))
    assert response.status_code in (415, 422), response.text
    refused, response = ask(server, "/v1/caption", body(image_url="data:image/png;base64,AAAA"))
    spans = collector.trace(refused)
    edge = edge_of(spans)
    assert (edge.status, edge.attributes["error.type"]) == (0, "unsupported-image")  # by the conventions: not ours
    assert edge.attributes["http.response.status_code"] == response.status_code == 415
    assert {span.status for span in below(spans, edge)} <= {ERROR}
    left = uuid4().hex
    headers = KEY | {"traceparent": f"00-{left}-{PARENT}-01"}
    with httpx.stream("POST", f"{server.url}/v1/vqa", json=body(question="?", stream=True, settings=LONG),
                      headers=headers) as stream:  # fmt: skip
        next(events_of(stream))
    spans = collector.trace(left)
    edge = edge_of(spans)
    (answer,) = (span for span in below(spans, edge) if span.name.startswith("generate_content"))
    for each in (edge, answer):
        assert (each.status, each.attributes["error.type"]) == (0, "disconnect")
    assert [span.name for span in below(spans, answer)] == ["queue", "prefill", "decode"]


def test_no_span_has_a_key_an_image_a_prompt_an_answer_or_a_query(server: Server, collector: Collector) -> None:
    _, response = ask(server, "/v1/vqa", body(question=SECRET_TEXT, settings={"stop": ["my-stop"]}))
    answered, _ = ask(server, "/v1/caption", body())
    collector.trace(answered)
    sent = b"".join(collector.raw)
    texts = [SECRET_TEXT, SECRET_QUERY, "my-stop", "web-secret", data_uri(image_file())[30:60]]
    assert not [text for text in [*texts, response.json()["answer"]] if text and text.encode() in sent]
    assert image_file()[:16] not in sent
    assert {span.attributes["pheye.key"] for span in collector.spans if span.kind == SERVER} == {"web"}
