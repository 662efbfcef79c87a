"""The storm's own honesty, against a server that misbehaves on purpose: what is lost is counted as lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtest.storm import StormReport, storm

ANSWER = b'{"answer": "a cat"}'
STREAM = b'data: {"chunk": "a cat"}\n\ndata: {"completed": true}\n\n'
FAILED = b'data: {"chunk": "a"}\n\ndata: {"completed": true, "error": {"status": 500, "title": "no"}}\n\n'


class Script(ThreadingHTTPServer):
    """Answers every request in turn with the next of its lines: status, content type, Retry-After, body."""

    daemon_threads = True

    def __init__(self, *lines: tuple[int, str, str | None, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Actor)
        self.lines = list(lines)


class Actor(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, content_type, again_s, content = self.server.lines.pop(0)  # type: ignore[attr-defined]
        if status == 0:
            return  # hangs up without a word
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if again_s is not None:
            self.send_header("Retry-After", again_s)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*lines: tuple[int, str, str | None, bytes]) -> Iterator[Script]:
    with Script(*lines) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def one_request(*lines: tuple[int, str, str | None, bytes]) -> StormReport:
    with serving(*lines) as server:
        report = asyncio.run(
            storm(f"http://127.0.0.1:{server.server_port}", [b"image"], requests=1, clients=1, hang_up_share=0.0)
        )
        assert not server.lines
    return report


JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param((200, JSON, None, ANSWER), "200", id="an answer"),
        pytest.param((200, EVENTS, None, STREAM), "200", id="a stream"),
        pytest.param((200, EVENTS, None, FAILED), "500", id="a stream that fails at its end"),
        pytest.param((200, EVENTS, None, b'data: {"chunk": "a"}\n\n'), "cut short", id="half a stream"),
        pytest.param((200, EVENTS, None, b""), "cut short", id="an empty stream"),
        pytest.param((500, JSON, None, b"{}"), "500", id="an error"),
        pytest.param((503, JSON, None, b"{}"), "503", id="the end of the service"),
        pytest.param((0, "", None, b""), "RemoteProtocolError", id="a broken connection"),
    ],
)
def test_a_request_counts_as_answered_only_with_its_whole_answer(
    line: tuple[int, str, str | None, bytes], status: str
) -> None:
    report = one_request(line)
    assert report.statuses == {status: 1}
    assert report.answered == (status == "200")
    assert report.hung_up == report.refused == 0
    assert len(report.seconds) == 1


def test_who_is_told_to_come_back_does_and_nothing_is_lost() -> None:
    busy = [(429, JSON, "0", b"{}"), (503, JSON, "0.01", b"{}")]
    report = one_request(*busy, (200, JSON, None, ANSWER))
    assert report.refused == 2
    assert report.answered == 1
    assert report.statuses == {"200": 1}


def test_patience_with_a_service_that_only_refuses_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.storm.PATIENCE_S", 30.0)
    report = one_request((503, JSON, "60", b"{}"))
    assert report.statuses == {"503": 1}
    assert report.answered == report.refused == 0


def test_everybody_who_neither_left_nor_lost_is_answered() -> None:
    class Slow(Actor):
        def do_POST(self) -> None:
            time.sleep(0.2)
            super().do_POST()

    with serving(*[(200, JSON, None, ANSWER)] * 40) as server:
        server.RequestHandlerClass = Slow
        url = f"http://127.0.0.1:{server.server_port}"
        report = asyncio.run(storm(url, [b"image"], requests=40, clients=8, hang_up_share=0.5, seed=1))
    assert report.hung_up > 0
    assert report.answered == report.statuses["200"] == 40 - report.hung_up
