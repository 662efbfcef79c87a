"""Clients that mean harm: raw sockets that are silent, slow, or do not read."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from tests.support.serving import Server

POST = b"POST /v1/caption HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


def address(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def connect(server: Server, *, receive_buffer: int | None = None) -> socket.socket:
    """A connection; with a small receive buffer the peer soon has nowhere to put an answer."""
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(20)
    try:
        made.connect(address(server))
    except OSError:
        made.close()
        raise
    return made


def allow_many_sockets(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + 256:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 256, hard))


@contextmanager
def crowd(server: Server, count: int, first_bytes: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that send a few bytes and no more."""
    allow_many_sockets(count)
    made = []
    try:
        for _ in range(count):
            made.append(connect(server))
            if first_bytes:
                send_quietly(made[-1], first_bytes)
        yield made
    finally:
        for each in made:
            each.close()


def send_quietly(connection: socket.socket, data: bytes) -> bool:
    """Send, and say whether the peer still takes it."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def read_to_end(connection: socket.socket) -> bytes:
    """All that still comes until the peer closes."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        received += b"<reset>"
    return received


def drip(connection: socket.socket, data: bytes, pause_s: float) -> bytes:
    """Send a byte at a time until the peer has closed, and return what it said."""
    connection.setblocking(False)
    for place in range(len(data)):
        try:
            if connection.recv(1, socket.MSG_PEEK) is not None:
                break
        except BlockingIOError:
            pass
        except OSError:
            break
        if not send_quietly(connection, data[place : place + 1]):
            break
        time.sleep(pause_s)
    connection.settimeout(10)
    return read_to_end(connection)


def probe_times(server: Server, count: int, path: str = "/livez") -> Sequence[float]:
    """How long a probe takes from another client, each on a connection of its own."""
    times = []
    for _ in range(count):
        began_s = time.monotonic()
        assert httpx.get(server.url + path, timeout=10).is_success
        times.append(time.monotonic() - began_s)
        time.sleep(0.02)
    return times
