"""HTTP/1.1 framing, stricter than h11: request smuggling, floods of tiny chunks, and heads that are too large.

A proxy in front and this server must see the same requests in the same bytes. h11 reads some bytes generously that
others read otherwise; here such a request is refused and its connection closed (RFC 9112, sections 2.2, 5, 6 and 11).
Pure protocol, no sockets. Event loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import h11

from service.api.connections.chunks import FramingError, StrictChunkedReader
from service.api.connections.targets import in_origin_form

MAX_HEAD_BYTES = 16 * 1024  # of a request line and its headers
MAX_HEADERS = 100
FREE_CHUNKS = 1024  # of a chunked body, however small they are
MIN_CHUNK_BYTES = 64  # average size of those after that
EVENTS_PER_TURN = 256  # parts of bodies that are taken before the event loop serves others
MAX_PIPELINED_BYTES = 64 * 1024  # of later requests that are read while one is answered
CLOSE = (b"connection", b"close")

NOT_HTTP = "this is no request of HTTP/1.1"
# What h11 says of a request, up to where it may repeat the peer's bytes (a key, perhaps), and what is said instead.
_WORDS = {
    "illegal request line": "the request line is malformed",
    "no request line": "the request line is missing",
    "illegal method": "the request line is malformed",
    "illegal target": "the request line is malformed",
    "illegal header line": "a line of the head is no header",
    "illegal header name": "a header's name has characters that are not allowed",
    "illegal header value": "a header's value has characters that are not allowed",
    "continuation line": "a header is folded over several lines",
    "missing mandatory host": "the header Host is missing",
    "found multiple host": "the header Host is given more than once",
    "conflicting content-length": "Content-Length is given more than once",
    "bad content-length": "Content-Length is no number of bytes",
    "multiple transfer-encoding": "Transfer-Encoding is given more than once",
    "only transfer-encoding": "of Transfer-Encoding only chunked is taken",
    "receive buffer too long": f"request line and headers have more than {MAX_HEAD_BYTES} bytes",
    "peer ": "the connection ended before its request was complete",
}
_FOLDED = re.compile(rb"\r\n[ \t]")
_LENGTHS = re.compile(rb"\r\ncontent-length[ \t]*:([^\r]*)", re.IGNORECASE)


def refused(detail: str, status: int = 400) -> FramingError:
    """Make the error that h11's users expect of a peer that breaks the protocol."""
    return FramingError(detail, error_status_hint=status)


def in_own_words(error: h11.RemoteProtocolError) -> FramingError:
    r"""Say what is wrong in a fixed sentence: h11's may repeat what the peer has sent.

    >>> in_own_words(h11.RemoteProtocolError("illegal header line: bytearray(b'Authorization\x00: Bearer sk-1')"))
    FramingError('a line of the head is no header')
    """
    if isinstance(error, FramingError):
        return error
    theirs = str(error).lower()
    words = next((ours for start, ours in _WORDS.items() if theirs.startswith(start)), NOT_HTTP)
    return refused(words, error.error_status_hint)


def check_head(received: bytes) -> None:
    r"""Check the bytes in front of a request for what h11 would mend or pass over.

    Raises:
        FramingError: a line ends in a bare line feed or goes on in the next, several lengths, too long.

    >>> check_head(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n")
    Traceback (most recent call last):
    service.api.connections.chunks.FramingError: Content-Length is given more than once
    """
    end = received.find(b"\r\n\r\n")
    head = received if end < 0 else received[:end]
    if len(head) > MAX_HEAD_BYTES:
        raise refused(f"request line and headers have more than {MAX_HEAD_BYTES} bytes", 431)
    # Counted, not searched for with a pattern: a head that comes byte by byte is looked through for each of them.
    if head.count(b"\n") != head.count(b"\r\n"):
        raise refused("a line of the head ends in a bare line feed")
    if end < 0:
        return
    if _FOLDED.search(head):
        raise refused("a header is folded over several lines")
    lengths = _LENGTHS.findall(head)
    if len(lengths) > 1 or (lengths and b"," in lengths[0]):
        raise refused("Content-Length is given more than once")


def check_request(request: h11.Request) -> None:
    """Check a parsed request for what leaves its end open to interpretation.

    Raises:
        FramingError: both kinds of length, an unknown version, too many headers.
    """
    names = [name for name, _ in request.headers]
    if len(names) > MAX_HEADERS:
        raise refused(f"more than {MAX_HEADERS} headers", 431)
    if request.http_version not in (b"1.0", b"1.1"):
        raise refused("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise refused("Transfer-Encoding and Content-Length in one request")
        if request.http_version == b"1.0":
            raise refused("Transfer-Encoding in HTTP/1.0")


class StrictConnection(h11.Connection):
    """A server's side of an HTTP/1.1 connection that counts what it is given and refuses what is ambiguous.

    Attributes:
        sent_bytes: made for the peer so far.
        last: whether the next answer says `Connection: close`.
        reason_of: gives the words of an answer's status line, or none for those that its status has.
        budget: parts of bodies that may still be taken in this turn of the event loop.
        unread: whether received bytes wait that must not be added to: later requests, or more parts than the budget.
        error: why the peer was refused, once it was, in words that repeat nothing of what it sent.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.sent_bytes = 0
        self.last = False
        self.reason_of: Callable[[], bytes] = bytes
        self.budget = EVENTS_PER_TURN
        self.unread = False
        self.error: FramingError | None = None
        self._chunks = 0
        self._body_bytes = 0

    def next_event(self) -> Any:
        """Parse the next event; see `h11.Connection.next_event`.

        Raises:
            h11.RemoteProtocolError: what the peer sends is not HTTP, or not unambiguous; it is kept in `error`.
        """
        if self.budget <= 0:
            self.unread = True
            return h11.NEED_DATA
        try:
            event = self._checked_event()
        except h11.RemoteProtocolError as error:
            self.error = in_own_words(error)
            raise
        self.unread = event is h11.PAUSED and len(self.trailing_data[0]) > MAX_PIPELINED_BYTES
        return event

    def _checked_event(self) -> Any:
        if self.their_state is h11.IDLE:
            check_head(self.trailing_data[0])
        event = super().next_event()
        if type(event) is h11.Data:
            self._count(event)
        elif type(event) is h11.Request:
            check_request(event)
            self._chunks = self._body_bytes = 0
            if any(name == b"transfer-encoding" for name, _ in event.headers):
                self._reader = StrictChunkedReader()
            return in_origin_form(event)
        return event

    def _count(self, part: h11.Data) -> None:
        self.budget -= 1
        self._chunks += part.chunk_start
        self._body_bytes += len(part.data)
        if self._chunks > FREE_CHUNKS + self._body_bytes // MIN_CHUNK_BYTES:
            raise refused(f"chunks of fewer than {MIN_CHUNK_BYTES} bytes on average; send larger ones")

    def send(self, event: Any) -> Any:
        """Turn an event into bytes; see `h11.Connection.send`."""
        if type(event) is h11.Response:
            event = self._completed(event)
        made = super().send(event)
        self.sent_bytes += len(made or b"")
        return made

    def _completed(self, answer: h11.Response) -> h11.Response:
        """Return an answer's head with what only the connection knows."""
        reason, closing = self.reason_of(), self.last and CLOSE not in answer.headers
        if not reason and not closing:
            return answer
        headers = [*answer.headers.raw_items(), *([CLOSE] if closing else [])]
        return h11.Response(status_code=answer.status_code, headers=headers, reason=reason or answer.reason)
