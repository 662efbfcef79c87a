"""A server on loopback that answers from a script, so that clients can be shown every way of misbehaving."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"
Line = tuple[int, str, str | None, bytes]  # status, content type, Retry-After, body; status 0 hangs up without a word


class Actor(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        status, content_type, again_s, content = self.server.lines.pop(0)  # type: ignore[attr-defined]
        if status == 0:
            return
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if again_s is not None:
            self.send_header("Retry-After", again_s)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Script(ThreadingHTTPServer):
    """Answers every request in turn with the next of its lines."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *lines: Line, actor: type[Actor] = Actor) -> None:
        super().__init__(("127.0.0.1", 0), actor)
        self.lines = list(lines)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(*lines: Line, actor: type[Actor] = Actor) -> Iterator[Script]:
    with Script(*lines, actor=actor) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
