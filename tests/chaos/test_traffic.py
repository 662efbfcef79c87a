"""The traffic notices wrong, lost and refused answers: a service that misbehaves on purpose is caught."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos.scenario import PromiseBrokenError
from tests.chaos.traffic import Tally, Traffic


class Misbehaving(BaseHTTPRequestHandler):
    """Answers rightly until its server is told to misbehave."""

    mode = "right"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mode, seed = type(self).mode, asked["settings"]["seed"]
        if mode == "hang-up":
            self.close_connection = True
            return
        if mode == "refuse-once":
            type(self).mode = "right"
            self._reply(429, {}, **{"Retry-After": "0"})
        elif mode == "fail":
            self._reply(500, {})
        else:
            answer = f"answer {seed}" if mode in ("right", "cut") else "another"
            if asked["stream"]:
                end = {"completed": True} if mode != "cut" else {"chunk": ""}
                events = f"data: {json.dumps({'chunk': answer})}\n\ndata: {json.dumps(end)}\n\n"
                self._reply(200, events, **{"Content-Type": "text/event-stream"})
            else:
                self._reply(200, {"answer": answer})

    def _reply(self, status: int, content: object, **headers: str) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def misbehaving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            Misbehaving.mode = "right"
            server.shutdown()


def tally_in(mode: str) -> Tally:
    async def run(url: str) -> Tally:
        traffic = Traffic(url, images=2)
        await traffic.learn()
        Misbehaving.mode = mode
        async with traffic.flowing(clients=2) as tally:
            await asyncio.sleep(0.3)
        return tally

    with misbehaving() as url:
        return asyncio.run(run(url))


def test_right_answers_are_counted():
    tally = tally_in("right")
    tally.demand_all_right(least=2)
    assert not tally.refused


def test_a_refused_client_comes_back():
    tally = tally_in("refuse-once")
    tally.demand_all_right()
    assert tally.refused == 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        pytest.param("other", "wrong answers", id="another-answer"),
        pytest.param("fail", "'500'", id="500"),
        pytest.param("hang-up", "RemoteProtocolError", id="broken-connection"),
        pytest.param("cut", "stream without its end", id="stream-without-end"),
    ],
)
def test_what_is_not_right_breaks_the_promise(mode, words):
    with pytest.raises(PromiseBrokenError, match=words):
        tally_in(mode).demand_all_right()
