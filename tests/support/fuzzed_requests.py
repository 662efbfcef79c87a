"""Requests of arbitrary bytes to the whole application, for hypothesis; `fuzz` sends them for minutes.

The queue is never started, so a request that is read without complaint ends with 503: everything in front of the model
is tried, thousands of requests a minute, and nothing behind it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.app import create_app
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics
from tests.support.serving import data_uri, image_file

KEY = "a-key"
MAX_BODY_BYTES = 200_000
UNHURT = range(200, 300)
REFUSED = (400, 401, 404, 405, 413, 415, 422, 503)
QUESTIONS = (
    "/v1/caption",
    "/v1/vqa",
    "/v1/query",
    "/v1/images",
    "/v1/estimate",
    "/v1/chat/completions",
    "//chat/completions/",
)
OTHERS = (
    "/",
    "/v1",
    "/v1/models",
    "/v1/models/a",
    "/models",
    "//v1//models/",
    "/v1/images/img_a",
    "/v1/detect",
    "/docs",
    "/docs/a",
    "/playground/a",
)
FIELDS = (
    *("image_url", "question", "questions", "settings", "stream", "explain", "model", "length", "style", "choices"),
    *("answer_style", "image", "messages", "temperature", "top_p", "max_tokens", "seed", "stop", "n", "tools"),
    *(
        "max_completion_tokens",
        "tool_choice",
        "logit_bias",
        "service_tier",
        "stream_options",
        "top_k",
        "detail",
        "name",
    ),
)
URLS = (data_uri(image_file()), "img_" + "0" * 64, "data:;base64,", "data:image/png;base64,AAAA", "http://a/b", "img_")


@dataclass(frozen=True)
class FuzzedRequest:
    """One request as bytes, with the pieces in which its body arrives."""

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: tuple[bytes, ...]


class Application:
    """The whole application in this process, never loaded; `keyed` says whether it asks for a key."""

    def __init__(self, *, keyed: bool) -> None:
        keys = {"api_keys": KEY} if keyed else {}
        chosen, metrics = Settings(max_body_bytes=MAX_BODY_BYTES, **keys), Metrics()
        self._app = create_app(chosen, RequestQueue(chosen, metrics), metrics)

    def answer(self, request: FuzzedRequest) -> tuple[int, dict[bytes, bytes], bytes]:
        """The status, headers and body of its one answer."""
        sent = asyncio.run(self._send(request))
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert len(starts) == 1, request
        assert not sent[-1].get("more_body", False), request
        return starts[0]["status"], dict(starts[0]["headers"]), b"".join(each.get("body", b"") for each in sent)

    async def _send(self, request: FuzzedRequest) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in request.pieces]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
        waiting.reverse()

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
            "method": request.method, "path": request.path, "raw_path": request.path.encode("utf-8", "replace"),
            "query_string": request.query, "headers": list(request.headers), "client": ("127.0.0.1", 9),
            "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        await self._app(scope, receive, send)
        return sent


def check(application: Application, request: FuzzedRequest) -> int:
    """Check that a request has one answer, which is no failure of ours and says what is wrong; return its status."""
    status, headers, content = application.answer(request)
    assert status in REFUSED or status in UNHURT or status == 304, (status, request, content)
    assert b"x-request-id" in headers, request
    if status in REFUSED and request.method != "HEAD":
        told = json.loads(content)
        assert told.get("detail") or told["error"]["message"], request
    if status in (429, 503):
        assert b"retry-after" in headers, request
    return status


plain = st.characters(exclude_categories=["Cs"])
texts = st.one_of(
    st.text(plain, max_size=30), st.sampled_from(URLS), st.sampled_from(["0", "1e999", "nan", "{", "[]", "true"])
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), inner, max_size=4)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), values, max_size=6)
parts_of_messages = st.one_of(
    values,
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, texts),
    st.builds(lambda url, more: {"type": "input_image", "image_url": url, "detail": more}, texts, values),
)
chats = st.builds(
    lambda messages, more: {"messages": messages} | more,
    st.lists(
        st.builds(
            lambda role, content, more: {"role": role, "content": content} | more,
            st.sampled_from(["user", "system", "assistant", "tool"]),
            st.one_of(texts, st.none(), st.lists(parts_of_messages, max_size=4)),
            st.dictionaries(st.sampled_from(["refusal", "tool_calls", "name", "id"]), values, max_size=1),
        ),
        max_size=4,
    ),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=2),
)
asked = st.builds(lambda url, more: {"image_url": url} | more, st.sampled_from(URLS), objects)
json_bodies = st.one_of(objects, chats, asked, values).map(lambda value: json.dumps(value).encode())


@st.composite
def forms(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A form, whole or wrong in its parts, and its content type."""
    boundary = draw(st.one_of(st.just(b"b"), st.binary(max_size=80), st.just(b"b" * 300)))
    body = draw(st.sampled_from([b"", b"preamble\r\n", b"\r\n"]))
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.one_of(st.sampled_from(FIELDS), texts)).encode("utf-8", "replace")
        file = draw(st.sampled_from([b"", b'; filename="a"', b"; filename*=utf-8''%ff", b"; filename=", b'; name="b"']))
        more = draw(st.one_of(st.just(b""), st.binary(max_size=60), st.just(b"X: " + b"a" * 9000 + b"\r\n")))
        content = draw(st.one_of(st.binary(max_size=80), texts.map(str.encode), st.just(image_file())))
        head = b'Content-Disposition: form-data; name="' + name + b'"' + file + b"\r\n" + more
        body += b"--" + boundary + b"\r\n" + head + b"\r\n" + content + b"\r\n"
    body += draw(
        st.sampled_from([b"--" + boundary + b"--\r\n", b"--" + boundary + b"--", b"--" + boundary, b"", b"--"])
    )
    body += draw(st.sampled_from([b"", b"epilogue", b"\r\n--" + boundary + b"\r\n"]))
    charset = draw(
        st.sampled_from([b"", b"; charset=utf-16", b"; charset=nothing", b"; charset=rot13", b"; charset=idna"])
    )
    quoted = draw(st.sampled_from([b"%b", b'"%b"', b'"%b', b"%b; boundary=c"]))
    return body, b"multipart/form-data; boundary=" + quoted.replace(b"%b", boundary) + charset


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The same bytes, or some of them changed, doubled or cut off."""
    for kind in draw(st.lists(st.sampled_from(["change", "cut", "double", "insert"]), max_size=2)):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "change":
            content = content[:place] + draw(st.binary(min_size=1, max_size=3)) + content[place + 1 :]
        elif kind == "insert":
            content = content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]
        else:
            content = content[:place] if kind == "cut" else content[:place] + content
    return content


@st.composite
def pieces_of(draw: st.DrawFn, content: bytes) -> tuple[bytes, ...]:
    """The same bytes in pieces, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=4)))
    return tuple(content[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True))


header_values = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte not in b"\0\r\n").strip())
keys = st.one_of(
    st.just((b"authorization", b"Bearer " + KEY.encode())),
    st.builds(lambda value: (b"authorization", b"Bearer " + value), header_values),
    st.builds(lambda value: (b"authorization", value), header_values),
    st.builds(lambda value: (b"x-moondream-auth", value), header_values),
)
agents = st.just((b"user-agent", b"moondream-python/2.6.1"))
more_headers = st.tuples(
    st.sampled_from([b"content-length", b"accept", b"expect", b"x-request-id", b"cookie", b"range", b"if-none-match",
                     b"if-modified-since", b"traceparent", b"x-forwarded-for", b"content-encoding"]),
    st.one_of(header_values, st.sampled_from([b"-1", b"9" * 5000, b"0x10", b"bytes=0-", b"bytes=5-2,-1,a"])),
)  # fmt: skip
paths = st.one_of(
    st.sampled_from(QUESTIONS),
    st.sampled_from(QUESTIONS),
    st.sampled_from(OTHERS),
    st.builds(lambda path, more: path + more, st.sampled_from(QUESTIONS + OTHERS), st.text(plain, max_size=10)),
    st.text(plain, max_size=30).map(lambda text: "/" + text),
)
queries = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    st.lists(st.tuples(st.sampled_from(FIELDS), texts), max_size=5).map(lambda items: urlencode(items).encode()),
    objects.map(lambda fields: urlencode({"settings": json.dumps(fields)}).encode()),
)


@st.composite
def requests(draw: st.DrawFn) -> FuzzedRequest:
    """A request that is right, nearly right, or nothing like one."""
    kind = draw(st.sampled_from(["json", "form", "image", "bytes", "none"]))
    headers = draw(st.lists(st.one_of(keys, agents, more_headers), max_size=3))
    body, content_type = b"", draw(header_values)
    if kind == "json":
        body, content_type = draw(json_bodies), draw(st.sampled_from([b"application/json", b"Application/JSON ; a=b"]))
    elif kind == "form":
        body, content_type = draw(forms())
        content_type = bytes(byte for byte in content_type if byte not in b"\0\r\n")
    elif kind == "image":
        body, content_type = image_file(), draw(st.sampled_from([b"image/jpeg", b"image/", b"image/\xff"]))
    elif kind == "bytes":
        body = draw(st.binary(max_size=200))
    if kind != "none":
        headers.append((b"content-type", content_type))
        body = draw(damaged(body))
    query = draw(queries) if kind in ("image", "none") else draw(st.one_of(st.just(b""), queries))
    pieces: Sequence[bytes] = draw(pieces_of(body)) if kind != "none" else ()
    method = draw(st.sampled_from(["POST", "POST", "POST", "GET", "DELETE", "HEAD", "PUT", "OPTIONS", "BREW"]))
    return FuzzedRequest(method, draw(paths), query, tuple(headers), tuple(pieces))


def fuzz(minutes: float, examples: int = 500) -> int:
    """Send requests that nobody sent before for so long; return how many.

    Raises:
        AssertionError: one of them broke something; hypothesis prints the smallest that does.
    """
    open_one, keyed = Application(keyed=False), Application(keyed=True)
    end_s, sent = time.monotonic() + 60 * minutes, 0

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(requests(), st.booleans())
    def send(request: FuzzedRequest, with_key: bool) -> None:
        nonlocal sent
        sent += 1
        check(keyed if with_key else open_one, request)

    while time.monotonic() < end_s:
        send()
    return sent
