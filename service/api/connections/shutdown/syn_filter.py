"""A listening socket that takes no new connections and still finishes those whose handshake has begun.

Closing a listener resets whoever is connected and not yet accepted, and there is always a moment between the last
accept and the close. So Linux first drops the packets that open a connection: such a client tries again a second later,
and is then refused like any other. On other systems nothing happens. Called once, at shutdown.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

_SO_ATTACH_FILTER = 26
# Classic BPF on the TCP header, whose flags are byte 13: drop what has SYN (2) set, keep the rest.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte
    (0x45, 0, 1, 0x02),  # if SYN is set
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep
)


def take_no_new_connections(listener: socket.socket) -> None:
    """Let the kernel drop the first packet of every new connection to a listening socket."""
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _DROP_SYN))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with suppress(OSError):  # not allowed here: the moment stays
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
