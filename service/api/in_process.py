"""Requests to the application from inside its own process, for clients of the httpx library.

They take the way of every other request, through keys, limits and log, on behalf of whoever is named as their client.
Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive

from service.api.request_context import INNER

Header = tuple[bytes, bytes]


async def _finished(call: Awaitable[None]) -> None:
    await call


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError  # nobody sets it


@dataclass(frozen=True, slots=True)
class InProcessTransport(httpx.AsyncBaseTransport):
    """An httpx transport that calls the application.

    Attributes:
        app: the whole application, with its middleware.
        client: address and port of whoever asks.
        headers: added to every request.
        inner: whether the requests are sent by another one, which counts for them and has room for their bodies.
        hung_up: the ASGI `receive` of the client's own request, which tells when it is gone.
    """

    app: ASGIApp
    client: tuple[str, int] | None = None
    headers: Sequence[Header] = ()
    inner: bool = False
    hung_up: Receive = _never

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the application.

        Raises:
            ClientDisconnect: the client has gone, and nobody waits for the answer.
        """
        body = await request.aread()
        sent = [{"type": "http.request", "body": body, "more_body": False}]
        status, headers, parts = 0, list[Header](), list[bytes]()

        async def receive() -> Message:
            return sent.pop() if sent else await self.hung_up()

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message.get("headers", [])
            else:
                parts.append(message.get("body", b""))

        path = request.url.raw_path.partition(b"?")[0]
        own = [(name.lower(), value) for name, value in request.headers.raw]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": path,
            "query_string": request.url.query,
            "root_path": "",
            "headers": [*own, *self.headers],
            "client": self.client,
            "server": (request.url.host, request.url.port),
        }
        if self.inner:
            scope[INNER] = True
        # A task of its own, as every request has, because shutdown ends requests by their tasks.
        await asyncio.ensure_future(_finished(self.app(scope, receive, send)))
        if not status:
            raise ClientDisconnect
        return httpx.Response(status, headers=headers, content=b"".join(parts), request=request)
