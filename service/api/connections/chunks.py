"""Chunked bodies, read strictly: h11 takes line ends and trailers that a proxy in front may read otherwise.

RFC 9112, section 7.1. Takes the place of h11's reader on a connection. Pure protocol, no sockets. Event loop.
"""

from __future__ import annotations

import re
from typing import NoReturn, Protocol

import h11

_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?\r\n")


class FramingError(h11.RemoteProtocolError):
    """A breach of the protocol in our own words, which repeat nothing of what the peer has sent."""


class ReceivedBytes(Protocol):
    """The part of h11's buffer that a reader uses."""

    def maybe_extract_next_line(self) -> bytes | None:
        """Take the bytes up to and with the first CRLF, if there is one."""

    def maybe_extract_at_most(self, count: int) -> bytes | None:
        """Take up to so many bytes, if there are any."""


class StrictChunkedReader:
    """Reads one chunked body as h11's own reader does, but a line ends in CRLF and there are no trailers."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk
        self._begun = False  # its first byte is still to come
        self._line_end_due = self._last = False

    def __call__(self, received: ReceivedBytes) -> h11.Data | h11.EndOfMessage | None:
        """Return the next part of the body, or None until more bytes have come.

        Raises:
            FramingError: a chunk is malformed, or there is a trailer.
        """
        if not self._left and not self._last:
            self._begin_chunk(received)
        if self._last:
            line = received.maybe_extract_next_line()
            return None if line is None else self._end(line)
        data = received.maybe_extract_at_most(self._left) if self._left else None
        if data is None:
            return None
        self._left -= len(data)
        self._line_end_due = not self._left
        begun, self._begun = self._begun, False
        return h11.Data(data=data, chunk_start=begun, chunk_end=self._line_end_due)

    def _begin_chunk(self, received: ReceivedBytes) -> None:
        line = received.maybe_extract_next_line()
        if line is not None and self._line_end_due:
            if line != b"\r\n":
                raise FramingError("a chunk is longer than it says", error_status_hint=400)
            self._line_end_due = False
            line = received.maybe_extract_next_line()
        if line is None:
            return
        header = _HEADER.fullmatch(line)
        if header is None:
            raise FramingError("the head of a chunk is malformed", error_status_hint=400)
        self._left = int(header[1], 16)
        self._begun, self._last = bool(self._left), not self._left

    def _end(self, line: bytes) -> h11.EndOfMessage:
        if line != b"\r\n":
            raise FramingError("trailers behind a chunked body are not taken", error_status_hint=400)
        return h11.EndOfMessage()

    def read_eof(self) -> NoReturn:
        """Say that the connection ended in the middle of the body.

        Raises:
            FramingError: always.
        """
        raise FramingError("the connection ended before its body")
