"""Uploads: bounds on the size of one request body, on the memory of all together, and on pauses.

Bodies are held in memory before a request has a place in the queue, so they need a bound of their own. Event loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from service.errors import ServiceError, TooLarge, UploadStalled, WaitingRoomFull

PAUSE_S = 30.0  # a body is given up when nothing of it comes for so long
LINGER_S = 5.0


@dataclass(slots=True)
class Uploads:
    """The memory that all request bodies under way hold together."""

    limit_bytes: int
    held_bytes: int = 0


@dataclass(slots=True)
class Upload:
    """The ASGI `receive` of one request, which reads no more than it may."""

    _receive: Receive
    _max_bytes: int
    _all: Uploads
    _seen_bytes: int = 0
    _complete: bool = False

    def check_length(self, headers: Headers) -> None:
        """Refuse a body that says it is too large before reading it.

        Raises:
            TooLarge: it is.
        """
        length = headers.get("content-length", "")
        # Of a number of thousands of digits, int() makes none.
        if length.isdecimal() and (len(length) > 18 or int(length) > self._max_bytes):
            raise self._too_large()

    async def receive(self) -> Message:
        """Receive the next message of the request.

        Raises:
            TooLarge: the body has become too large.
            UploadStalled: nothing came for `PAUSE_S`.
            WaitingRoomFull: all bodies together hold too much.
        """
        if self._complete:
            return await self._receive()  # the body is complete: only a disconnect can come
        try:
            async with asyncio.timeout(PAUSE_S):
                message = await self._receive()
        except TimeoutError:
            raise UploadStalled(f"body: nothing arrived for {PAUSE_S:g} s") from None
        self._complete = not message.get("more_body", False)
        self._seen_bytes += len(message.get("body", b""))
        self._all.held_bytes += len(message.get("body", b""))
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        return message

    def forget(self) -> None:
        """Give back the memory of a body when its request is over."""
        self._all.held_bytes -= self._seen_bytes

    def _refusal(self) -> ServiceError | None:
        if self._seen_bytes > self._max_bytes:
            return self._too_large()
        if self._all.held_bytes > self._all.limit_bytes:
            limit = self._all.limit_bytes
            return WaitingRoomFull(f"uploads under way hold the {limit} bytes allowed; try again")
        return None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"body: more than the {self._max_bytes} bytes allowed; send a smaller image")

    async def linger(self, headers: Headers) -> None:
        """Read and drop the rest for a while: a client that is still sending would miss a refusal."""
        # A client that waits for 100-continue has sent nothing yet.
        if self._complete or ("expect" in headers and not self._seen_bytes):
            return
        self._complete = True
        dropped_bytes = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while dropped_bytes < 4 * self._max_bytes:
                    message = await self._receive()
                    dropped_bytes += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return
