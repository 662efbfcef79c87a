"""Uploads: bounds on the size and the time of one request body, and fair shares of the memory of all together.

Bodies are held in memory before a request has a place in the queue, so they need a bound of their own. A body that says
its length has its memory promised, or refused, before a byte of it is read. Event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from service.api.request_context import RequestContext
from service.errors import TooLarge, UploadsFull, UploadStalled
from service.moving_average import moving_average

PAUSE_S = 30.0  # a body is given up when nothing of it comes for so long
SLOW_START_S = 10.0  # until the least rate holds
LEAST_BYTES_S = 1024.0  # on average from the first byte on
LINGER_S = 5.0
SMALL_BYTES = 64 * 1024  # the first bytes of every body have memory of their own, so that small bodies always get in
SMALL_SHARE = 0.25  # of the memory, for those
SMOOTHING = 0.2  # weight of the newest body in the time for which one is held
LONGEST_WAIT_S = 60


@dataclass(slots=True)
class Uploads:
    """The memory that all request bodies under way hold together, and each client's part of it.

    A client may hold as many bytes as are still free, of the first bytes of bodies and of the rest. So one alone gets
    half, two that want all get a third each, and there is always something left for the next one. A body that is the
    only large one may have all that is not for small ones.
    """

    limit_bytes: int
    small_bytes: int = 0  # held or promised, of the first SMALL_BYTES of each body
    large_bytes: int = 0  # of the rest
    _small: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))  # by client
    _by_client: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))  # of the rest
    _bodies: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _held_s: float = 0.0  # for how long a body is held, on average

    @property
    def held_bytes(self) -> int:
        """The bytes that are held or promised, all together."""
        return self.small_bytes + self.large_bytes

    def take(self, client: str, before: int, after: int) -> None:
        """Let a client's body grow from `before` to `after` bytes.

        Raises:
            UploadsFull: that is more than the client's share, or than there is.
        """
        small = min(after, SMALL_BYTES) - min(before, SMALL_BYTES)
        large = after - before - small
        if not self._fits(client, before, small, large):
            wait_s = self.wait_s(client)
            raise UploadsFull(
                f"body: uploads under way hold this client's share of the {self.limit_bytes} bytes allowed; "
                f"try again in about {wait_s} s",
                retry_after_s=wait_s,
            )
        self.small_bytes += small
        self.large_bytes += large
        self._small[client] += small
        self._by_client[client] += large
        self._bodies[client] += before == 0 < after

    def _fits(self, client: str, before: int, small: int, large: int) -> bool:
        if self.held_bytes + small + large > self.limit_bytes:
            return False
        if self.held_bytes == before:
            return True  # it is the only one
        small_limit = int(self.limit_bytes * SMALL_SHARE)
        free = small_limit - self.small_bytes - small
        if small and self._small.get(client, 0) + small > free:
            return False
        return not large or self._fits_large(client, before, large, self.limit_bytes - small_limit)

    def _fits_large(self, client: str, before: int, large: int, limit_bytes: int) -> bool:
        free = limit_bytes - self.large_bytes - large
        if self.large_bytes == max(0, before - SMALL_BYTES):  # no other is: without this it might never get in
            return free >= 0 or not self._bodies.keys() - {client}
        return self._by_client.get(client, 0) + large <= free

    def give_back(self, client: str, size: int, held_s: float) -> None:
        """Take the memory of a body back, when its request is over."""
        if size == 0:
            return
        small = min(size, SMALL_BYTES)
        self.small_bytes -= small
        self.large_bytes -= size - small
        self._small[client] -= small
        self._by_client[client] -= size - small
        self._bodies[client] -= 1
        if not self._bodies[client]:
            del self._bodies[client], self._small[client], self._by_client[client]
        self._held_s = moving_average(self._held_s, held_s, SMOOTHING)

    def wait_s(self, client: str) -> int:
        """Estimate when the next of a client's bodies, or of anybody's if it has none, will be over."""
        under_way = self._bodies.get(client) or sum(self._bodies.values()) or 1
        return max(1, min(LONGEST_WAIT_S, math.ceil(self._held_s / under_way)))


class Upload:
    """The ASGI `receive` of one request, which reads no more than it may, for no longer than it may.

    The body of an inner request was a part of another one's, which holds the memory for both.
    """

    def __init__(
        self, receive: Receive, together: Uploads, context: RequestContext, *, max_bytes: int, timeout_s: float
    ) -> None:
        """Read by `receive` for the request of `context`, with these bounds for one body."""
        self._receive = receive
        self._all = together
        self._context = context
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._client = ""
        self._seen_bytes = 0
        self._taken_bytes = 0  # held or promised
        self._began_s: float | None = None
        self._complete = False

    @property
    def complete(self) -> bool:
        """True when the whole body has been received."""
        return self._complete

    def check_length(self, headers: Headers) -> None:
        """Refuse a body that says it is too large before reading it, or promise it the memory.

        Raises:
            TooLarge: it is too large for any client.
            UploadsFull: it is too large now.
        """
        self._client = self._context.client
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return
        # Of a number of thousands of digits, int() makes none.
        if len(length) > 18 or int(length) > self._max_bytes:
            raise self._too_large()
        self._take(int(length))

    async def receive(self) -> Message:
        """Receive the next message of the request.

        Raises:
            TooLarge: the body has become too large.
            UploadStalled: nothing came for `PAUSE_S`, or too little, or it was not complete in time.
            UploadsFull: all bodies together hold too much.
        """
        if self._complete:
            return await self._receive()  # the body is complete: only a disconnect can come
        now_s = time.monotonic()
        began_s = self._began_s = self._began_s or now_s
        try:
            async with asyncio.timeout(min(PAUSE_S, began_s + self._timeout_s - now_s)):
                message = await self._receive()
        except TimeoutError:
            raise self._stalled(time.monotonic() - began_s) from None
        if message["type"] == "http.disconnect":
            return message
        self._complete = not message.get("more_body", False)
        self._seen_bytes += len(message.get("body", b""))
        if self._seen_bytes > self._max_bytes:
            raise self._too_large()
        self._take(self._seen_bytes)
        spent_s = time.monotonic() - began_s
        if not self._complete and spent_s > SLOW_START_S and self._seen_bytes < spent_s * LEAST_BYTES_S:
            raise UploadStalled(f"body: {self._seen_bytes} bytes in {spent_s:.0f} s; send {LEAST_BYTES_S:g} a second")
        return message

    def forget(self) -> None:
        """Give back the memory of a body when its request is over."""
        self._all.give_back(self._client, self._taken_bytes, self._context.age_s)
        self._taken_bytes = 0

    def _take(self, size: int) -> None:
        if size > self._taken_bytes and not self._context.inner:
            self._all.take(self._client, self._taken_bytes, size)
            self._taken_bytes = size

    def _stalled(self, spent_s: float) -> UploadStalled:
        if spent_s >= self._timeout_s:
            return UploadStalled(f"body: not complete after {self._timeout_s:g} s")
        return UploadStalled(f"body: nothing arrived for {PAUSE_S:g} s")

    def _too_large(self) -> TooLarge:
        return TooLarge(f"body: more than the {self._max_bytes} bytes allowed; send a smaller image")

    async def linger(self, headers: Headers) -> None:
        """Read and drop the rest for a while: a client that is still sending would miss a refusal."""
        # A client that waits for 100-continue has sent nothing yet.
        if self._complete or ("expect" in headers and not self._seen_bytes):
            return
        dropped_bytes = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while dropped_bytes < 4 * self._max_bytes and not self._complete:
                    message = await self._receive()
                    dropped_bytes += len(message.get("body", b""))
                    self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            return
