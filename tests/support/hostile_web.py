"""A web server on loopback that answers as it is told, byte by byte, to try what fetches images from strangers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

TLS_HELLO = b"\x16\x03"
Handler = Callable[[socket.socket], None]
Answers = Mapping[str, bytes | Handler]


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole response; with another length than its own, if one is given."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, *headers: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", *headers, status=status)


def again_and_again(start: bytes, piece: bytes, pause_s: float = 0.0) -> Handler:
    """Send a piece until nobody takes it any more."""

    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            threading.Event().wait(pause_s)

    return send


def unused_port() -> int:
    """A port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@dataclass
class Web:
    """A running server: where it is, and the heads of the requests that came."""

    port: int
    address: str
    heads: list[bytes] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)  # a client of `hold` has hung up

    def url(self, path: str = "/image", host: str | None = None) -> str:
        return f"http://{host or self.address}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.heads]

    def hold(self, connection: socket.socket) -> None:
        """Answer nothing, and notice when the client leaves."""
        with suppress(OSError):
            connection.recv(1)
        self.left.set()


@contextmanager
def hostile_web(answers: Answers, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve these answers, by path; a path that has none is held."""
    listener = socket.create_server((address, 0))
    web = Web(listener.getsockname()[1], address)
    opened: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with suppress(OSError, IndexError, ValueError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                opened.append(connection)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head and not head.startswith(TLS_HELLO) and (more := connection.recv(65536)):
                    head += more
                web.heads.append(head)
                said = answers.get(web.paths[-1].partition("?")[0], web.hold)
                if callable(said):
                    said(connection)
                else:
                    connection.sendall(said)

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield web
    finally:
        for each in (listener, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        accepting.join(10)
