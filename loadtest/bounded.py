"""HTTP transport whose answers are bounded in size and time: no server can hold a load test, or fill its memory.

A compressed answer is refused: none was asked for, and a small one can hold any size. Event loop.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from typing import cast

import httpx

MOST_BYTES = 256 << 20  # of an answer; with heat maps for each word it is large
MOST_S = 3600.0  # from an answer's head to its end, however it drips; a stream may wait for long in a server's queue


class OversizedAnswerError(httpx.RequestError):
    """An answer is larger than what is read, or compressed; the message says which."""


class BoundedTransport(httpx.AsyncHTTPTransport):
    """Transport that gives up on a head that drips, and on a body that is too long in bytes or in time.

    Args:
        limits: of connections.
        head_s: from the last byte of a request to the end of its answer's head.
        most_bytes, most_s: of the body behind it.
    """

    def __init__(
        self, limits: httpx.Limits, head_s: float, most_bytes: int = MOST_BYTES, most_s: float = MOST_S
    ) -> None:
        super().__init__(verify=_tls_context(), limits=limits, trust_env=False)
        self._head_s, self._most_bytes, self._most_s = head_s, most_bytes, most_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer with a body that is bounded while it is read.

        Raises:
            httpx.RequestError: there is no answer, or its head is out of bounds.
        """
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as limit:

                async def begin(event: str, _: object) -> None:
                    if event.endswith("receive_response_headers.started"):  # the request is sent
                        limit.reschedule(clock() + self._head_s)

                request.extensions["trace"] = begin
                response = await super().handle_async_request(request)
        except TimeoutError:
            raise httpx.ReadTimeout(f"the head did not end within {self._head_s:g} s", request=request) from None
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            await response.aclose()
            raise OversizedAnswerError("it is compressed, which was not asked for", request=request)
        stream = cast(httpx.AsyncByteStream, response.stream)
        body = _BoundedBody(stream, request, self._most_bytes, self._most_s)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Return what all transports check certificates with: reading them takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


class _BoundedBody(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, request: httpx.Request, most_bytes: int, most_s: float) -> None:
        self._stream, self._request, self._most_bytes, self._most_s = stream, request, most_bytes, most_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces, seen = aiter(self._stream), 0
        end = asyncio.get_running_loop().time() + self._most_s
        while True:
            try:
                async with asyncio.timeout_at(end):
                    piece = await anext(pieces, None)
            except TimeoutError:
                raise httpx.ReadTimeout(f"it did not end within {self._most_s:g} s", request=self._request) from None
            if piece is None:
                return
            seen += len(piece)
            if seen > self._most_bytes:
                raise OversizedAnswerError(f"it has more than {self._most_bytes} bytes", request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
