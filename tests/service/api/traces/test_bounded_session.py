"""Answers of a collector that do not end, come a byte at a time, or send the spans elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from service.api.traces.bounded_session import BoundedSession


@contextmanager
def collector(head: str, *, part: bytes, pause_s: float) -> Iterator[str]:
    """One that answers with this head, and then this part again and again."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(head.encode() + b"\r\n\r\n")
            try:
                while not over.wait(pause_s):
                    self.wfile.write(part)
            except OSError:
                over.set()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            over.set()
            server.shutdown()


@pytest.mark.parametrize(
    ("head", "part", "pause_s"),
    [
        ("HTTP/1.1 200 OK", b"x" * 8192, 0.0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1000000", b"x", 0.02),
        ("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked", b"1\r\nx\r\n", 0.02),
    ],
    ids=["without end", "a byte at a time", "a chunk at a time"],
)
def test_an_answer_without_an_end_is_given_up(head: str, part: bytes, pause_s: float) -> None:
    with (
        collector(head, part=part, pause_s=pause_s) as url,
        BoundedSession(within_s=0.3) as session,
        pytest.raises(requests.ConnectionError, match="no end in sight"),
    ):
        session.post(url, data=b"spans", timeout=20)


def test_an_answer_that_ends_is_read_and_a_redirect_is_refused() -> None:
    with (
        collector("HTTP/1.1 200 OK\r\nContent-Length: 4", part=b"well", pause_s=0.0) as url,
        BoundedSession() as session,
    ):
        assert session.post(url, data=b"spans", timeout=20).content == b"well"
    elsewhere = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1"
    with (
        collector(elsewhere, part=b"x", pause_s=0.0) as url,
        BoundedSession() as session,
        pytest.raises(requests.TooManyRedirects, match="redirects"),
    ):
        session.post(url, data=b"spans", timeout=20)
