"""Ids that a request brings along: which are taken, and what is done with the others."""

from __future__ import annotations

import re

import pytest
from starlette.datastructures import Headers

from service.api.edge.tracing import TraceContext, request_id_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "given",
    [
        "abc-123",
        "6c0e3bd6-1c5a-4b0e-9f0d-3f6f1f1f8a11",
        "Root=1-67891233-abcdef012345678912345678",
        "a/b+c==",
        "x" * 128,
    ],
    ids=["short", "uuid", "amazon", "base64", "longest"],
)
def test_an_id_of_plain_characters_is_taken(given: str) -> None:
    assert request_id_of(Headers({"x-request-id": given})) == given


@pytest.mark.parametrize(
    "given",
    ["", " ", "a b", "a\tb", "a\nlog line", "é", 'a"b', "x" * 129, "a\x7f", "<b>", "a,b"],
    ids=["empty", "space", "spaces", "tab", "line", "umlaut", "quote", "long", "control", "html", "two-in-one"],
)
def test_any_other_id_is_replaced(given: str) -> None:
    headers = Headers(raw=[(b"x-request-id", given.encode())])
    assert re.fullmatch("[0-9a-f]{32}", request_id_of(headers))


def test_of_two_ids_neither_is_believed() -> None:
    raw = [(b"x-request-id", b"one"), (b"x-request-id", b"two")]
    assert request_id_of(Headers(raw=raw)) not in ("one", "two")
    traces = [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())] * 2
    assert TraceContext.of(Headers(raw=traces)) is None


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        pytest.param(f"00-{TRACE}-{PARENT}-01", "01", id="sampled"),
        pytest.param(f"00-{TRACE}-{PARENT}-00", "00", id="not-sampled"),
        pytest.param(f"00-{TRACE}-{PARENT}-03", "03", id="random-trace-id"),
        pytest.param(f"00-{TRACE}-{PARENT}-fd", "01", id="unknown-flags"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01", "01", id="later-version"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-what-comes", "01", id="later-version-with-more"),
    ],
)
def test_a_trace_goes_on_with_this_request_as_the_parent(given: str, flags: str) -> None:
    context = TraceContext.of(Headers({"traceparent": given}))
    assert context is not None
    assert (context.trace_id, context.parent_id) == (TRACE, PARENT)
    version, trace_id, span_id, sampled = context.traceparent.split("-")
    assert (version, trace_id, sampled) == ("00", TRACE, flags)
    assert re.fullmatch("[0-9a-f]{16}", span_id)
    assert span_id != PARENT


@pytest.mark.parametrize(
    "given",
    [
        "", "x", f"00-{TRACE}-{PARENT}", f"00-{TRACE}-{PARENT}-01-more", f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01", f"00-{TRACE}-{PARENT}-1",
    ],
    ids=["empty", "word", "no-flags", "more", "ff", "no-trace", "no-parent", "capitals", "short", "half-flags"],
)  # fmt: skip
def test_a_trace_that_is_not_as_the_standard_has_it_is_left_out(given: str) -> None:
    assert TraceContext.of(Headers({"traceparent": given})) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", id="two"),
        pytest.param([" a=1 ,", ", b@c=d e"], "a=1,b@c=d e", id="two-headers"),
        pytest.param([], "", id="none"),
        pytest.param(["a=1,a=2"], "", id="twice"),
        pytest.param(["A=1"], "", id="capital"),
        pytest.param(["a=1,b"], "", id="no-value"),
        pytest.param(["a=\u00e9"], "", id="umlaut"),
        pytest.param([",".join(f"k{number}=1" for number in range(33))], "", id="too-many"),
        pytest.param(["a=" + "x" * 255 + ",b=" + "x" * 255], "", id="too-long"),
    ],
)
def test_what_tracing_systems_on_the_way_have_noted_is_kept_if_it_is_as_the_standard_has_it(
    given: list[str], kept: str
) -> None:
    raw = [(b"tracestate", each.encode()) for each in given]
    context = TraceContext.of(Headers(raw=[(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()), *raw]))
    assert context is not None
    assert context.state == kept
    own = [(b"traceparent", context.traceparent.encode())]
    assert context.headers == ([*own, (b"tracestate", kept.encode())] if kept else own)
