"""HTTP requests whose answers are bounded in size and in time, whoever sends them.

Knows neither routes nor what an answer means. A compressed answer is refused, as a small one can hold any size. Event
loop's thread; `ask` brings a loop of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

SMALL_BYTES = 1 << 20  # far more than a service tells of itself
ANSWER_BYTES = 16 << 20  # 256 answers of 2048 tokens
EXPLAINED_BYTES = 256 << 20  # with a map for each word


class AnswerOutOfBoundsError(httpx.RequestError):
    """An answer is larger, slower or otherwise packed than what is read; the message says which."""


def ask(connection: Mapping[str, Any], path: str, total_s: float) -> httpx.Response:
    """Get a small answer, from a thread that has no event loop.

    Args:
        connection: arguments of the HTTP client, with the address.
        path: below that address.
        total_s: from the connection to the end of the answer.

    Raises:
        httpx.RequestError: there is none, or it is out of bounds.
    """

    async def whole() -> httpx.Response:
        async with httpx.AsyncClient(**connection) as client:
            return await request(client, SMALL_BYTES, total_s, method="GET", url=path)

    async def in_time() -> httpx.Response:
        try:
            async with asyncio.timeout(total_s):
                return await whole()
        except TimeoutError:
            raise AnswerOutOfBoundsError(f"it did not end within {total_s:g} s") from None

    return asyncio.run(in_time())


async def request(client: httpx.AsyncClient, most_bytes: int, body_s: float, **what: Any) -> httpx.Response:
    """Send a request and read its answer.

    Args:
        client: its timeouts hold until the answer begins, the one for reading also for the answer's whole head.
        most_bytes: of the answer.
        body_s: from the answer's head to its end.
        what: the request, as `httpx.AsyncClient.build_request` takes it.

    Raises:
        httpx.RequestError: there is no answer, or it is out of bounds.
    """
    head_s = client.timeout.read
    asked = client.build_request(**what)
    asked.headers["Accept-Encoding"] = "identity"
    try:
        async with asyncio.timeout(None) as limit:

            async def begin(event: str, _: object) -> None:
                if event.endswith("receive_response_headers.started") and head_s is not None:  # the request is sent
                    limit.reschedule(asyncio.get_running_loop().time() + head_s)

            asked.extensions["trace"] = begin
            response = await client.send(asked, stream=True)
    except TimeoutError:
        raise AnswerOutOfBoundsError(f"its head did not end within {head_s:g} s", request=asked) from None
    try:
        async with asyncio.timeout(body_s):
            body = await _body(response, most_bytes)
    except TimeoutError:
        raise AnswerOutOfBoundsError(f"it did not end within {body_s:g} s", request=asked) from None
    finally:
        await response.aclose()
    return httpx.Response(response.status_code, headers=response.headers, content=body, request=asked)


async def _body(response: httpx.Response, most_bytes: int) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerOutOfBoundsError("it is compressed, which was not asked for", request=response.request)
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > most_bytes:
            raise AnswerOutOfBoundsError(f"it has more than {most_bytes} bytes", request=response.request)
    return bytes(body)


def json_object(response: httpx.Response) -> Mapping[str, Any]:
    """Read a JSON object; empty if the answer is none.

    >>> json_object(httpx.Response(200, content=b'{"a": 1}')), json_object(httpx.Response(200, content=b"[" * 100_000))
    ({'a': 1}, {})
    """
    try:
        told = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
