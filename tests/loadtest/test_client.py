"""One request and what came of it, against a server that answers from a script."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest

from loadtest.client import Client, TimedResponse, open_http, send
from loadtest.mix import PlannedRequest
from tests.support.scripted import EVENTS, JSON, Actor, Line, serving

ASK = PlannedRequest(b"image", ("What?",), stream=False, max_tokens=4)
USAGE = b'"usage": {"completion_tokens": 4, "image_features_cached": true}'
END = b'data: {"completed": true, %s}\n\n' % USAGE
LINES = b'data:{"completed": true,\r\ndata: %s}\r\n\r\n' % USAGE


def reply_to(*lines: Line, patience_s: float = 0.0) -> tuple[TimedResponse, int]:
    async def ask(url: str) -> tuple[TimedResponse, int]:
        async with open_http(url, 1) as http:
            client = Client(http, patience_s)
            return await client.ask(ASK), client.refusals

    with serving(*lines) as server:
        found = asyncio.run(ask(server.url))
        assert not server.lines
    return found


@pytest.mark.parametrize(
    ("line", "status", "tokens", "cached", "said"),
    [
        pytest.param((200, JSON, None, b"{%s}" % USAGE), "200", 4, True, "", id="an answer"),
        pytest.param((200, JSON, None, b"{}"), "200", 0, None, "", id="an answer without usage"),
        pytest.param((200, JSON, None, b"<html>"), "no JSON", 0, None, "Expecting value", id="another kind of server"),
        pytest.param((422, JSON, None, b"stream: no"), "422", 0, None, "stream: no", id="a refusal for good"),
        pytest.param((429, JSON, None, b"full"), "429", 0, None, "full", id="no time to come back"),
        pytest.param((429, JSON, "tomorrow", b"full"), "429", 0, None, "full", id="a time that is no number"),
        pytest.param((500, JSON, "1", b"broken"), "500", 0, None, "broken", id="a failure with a time to come back"),
        pytest.param((200, EVENTS, None, END), "200", 4, True, "", id="a stream without text"),
        pytest.param((200, EVENTS, None, b": keep-alive\n\n" + END), "200", 4, True, "", id="a stream with a comment"),
        pytest.param((200, EVENTS, None, b"retry: 10\n\n" + END), "200", 4, True, "", id="an event without data"),
        pytest.param(
            (200, EVENTS, None, LINES), "200", 4, True, "", id="an event of several lines, ended as on Windows"
        ),
        pytest.param((200, EVENTS, None, b"data: nonsense\n\n"), "no JSON", 0, None, "Expecting", id="no events"),
        pytest.param((200, JSON, None, b"[1]"), "no JSON", 0, None, "no JSON object", id="a list"),
        pytest.param((200, JSON, None, b"[" * 100_000), "no JSON", 0, None, "recursion", id="deeply nested"),
        pytest.param((200, JSON, None, b'{"usage": [1]}'), "200", 0, None, "", id="usage of another shape"),
        *(
            pytest.param((200, JSON, None, b'{"usage": {"completion_tokens": %s}}' % odd), "200", 0, None, "", id=name)
            for odd, name in ((b"1e999", "endless tokens"), (b"-4", "tokens below none"), (b"9" * 400, "huge tokens"))
        ),
        pytest.param((200, EVENTS, None, b"data: []\n\n"), "no JSON", 0, None, "no JSON object", id="a list of events"),
        pytest.param(
            (200, EVENTS, None, b'data: {"error": 5}\n\n'), "None", 0, None, "None", id="an error of no shape"
        ),
        pytest.param((429, JSON, "nan", b"full"), "429", 0, None, "full", id="a time that never comes"),
        pytest.param((0, "", None, b""), "RemoteProtocolError", 0, None, "disconnected", id="a broken connection"),
    ],
)
def test_a_reply_says_how_a_request_ended_and_what_it_cost(
    line: Line, status: str, tokens: int, cached: bool | None, said: str
) -> None:
    reply, _ = reply_to(line)
    assert (reply.status, reply.tokens, reply.cached) == (status, tokens, cached)
    assert said in reply.detail
    assert reply.come_back_s is None
    assert reply.first_text_s is None


def test_an_error_at_the_end_of_a_stream_is_its_status_and_keeps_the_time_of_the_first_text() -> None:
    error = b'data: {"error": {"status": 504, "detail": "too late"}, "completed": true}\n\n'
    reply, _ = reply_to((200, EVENTS, None, b'data: {"chunk": "a"}\n\n' + error))
    assert (reply.status, reply.detail) == ("504", "too late")
    assert reply.first_text_s is not None


def test_half_a_stream_is_cut_short() -> None:
    reply, _ = reply_to((200, EVENTS, None, b'data: {"chunk": "a"}\n\n'))
    assert reply.status == "cut short"
    assert reply.first_text_s is not None


def test_the_first_text_is_timed_when_it_comes_and_not_when_the_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()

    class Halting(Actor):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", EVENTS)
            self.end_headers()
            self.wfile.write(b'data: {"chunk": "a"}\n\n')
            if seen.wait(10):
                self.wfile.write(b'data: {"chunk": "b"}\n\n' + END)

    def loads(text: str) -> Any:
        seen.set()
        return json.JSONDecoder().decode(text)

    async def ask(url: str) -> TimedResponse:
        async with open_http(url, 1) as http:
            return await send(http, ASK)

    monkeypatch.setattr("loadtest.client.json.loads", loads)
    with serving(actor=Halting) as server:
        reply = asyncio.run(ask(server.url))
    assert (reply.status, reply.tokens) == ("200", 4)
    assert reply.first_text_s is not None
    assert reply.first_text_s < reply.ended_s


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_told_when_to_come_back_does_so_while_patience_lasts(status: int) -> None:
    refused = (status, JSON, "0.01", b"full")
    reply, refusals = reply_to(refused, refused, (200, JSON, None, b"{}"), patience_s=30.0)
    assert (reply.status, refusals) == ("200", 2)
    reply, refusals = reply_to((status, JSON, "31", b"full"), patience_s=30.0)
    assert (reply.status, reply.come_back_s, reply.detail, refusals) == (str(status), 31.0, "full", 0)


def test_without_patience_the_refusal_is_the_reply() -> None:
    reply, refusals = reply_to((429, JSON, "0", b"full"))
    assert (reply.status, reply.come_back_s, refusals) == ("429", 0.0, 0)


def test_a_server_that_is_not_there_is_a_reply_too() -> None:
    async def ask(url: str) -> TimedResponse:
        async with open_http(url, 1) as http:
            return await send(http, ASK)

    with serving() as server:
        gone = server.url
    assert asyncio.run(ask(gone)).status == "ConnectError"


def test_a_proxy_in_the_environment_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as nobody:
        monkeypatch.setenv("HTTP_PROXY", nobody.url)
        monkeypatch.setenv("http_proxy", nobody.url)
    assert reply_to((200, JSON, None, b"{}"))[0].status == "200"


def test_a_form_is_sent_in_one_piece() -> None:
    pieces: list[bytes] = []

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            pieces.extend([piece async for piece in request.stream])
            assert request.headers["Content-Length"] == str(sum(map(len, pieces)))
            return httpx.Response(200, json={})

    async def ask() -> TimedResponse:
        async with httpx.AsyncClient(base_url="http://nowhere", transport=Transport()) as http:
            return await send(http, ASK)

    assert asyncio.run(ask()).status == "200"
    (form,) = pieces
    assert b'name="question"\r\n\r\nWhat?' in form
    assert b"image" in form
