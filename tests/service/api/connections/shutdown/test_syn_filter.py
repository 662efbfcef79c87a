"""A listener that takes no new connections keeps those that it has."""

from __future__ import annotations

import socket
import sys

import pytest

from service.api.connections.shutdown.syn_filter import take_no_new_connections


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux's kernel")
def test_new_connections_wait_and_begun_ones_are_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as begun:
        take_no_new_connections(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.3)
        accepted, _ = listener.accept()
        with accepted:
            begun.sendall(b"still here")
            assert accepted.recv(100) == b"still here"
