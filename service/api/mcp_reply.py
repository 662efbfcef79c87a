"""The answer to an agent's message (MCP): its tool calls, made in the name of whoever has sent it.

Each tool call is a request of the HTTP API with the caller's key and address, so keys and fairness are those of every
other request; limits and room for bodies count the message itself, and not that request too. The SDK does the protocol,
and is imported only here and only then. Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import Request
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.api.in_process import InProcessTransport
from service.api.request_context import context_of
from service.mcp.held_images import HeldImages, take_images
from service.mcp.images import WebSources
from service.mcp.service_client import ToolError, request_of
from service.mcp.tools import Tools

__all__ = ["McpReply", "take_images"]

PASSED_ON = ("authorization", "x-moondream-auth")


class McpReply(Response):
    """A response that the SDK writes when the framework calls it."""

    def __init__(self, body: bytes, held: HeldImages, max_bytes: int, request: Request) -> None:
        super().__init__()
        self._sent, self._held, self._max_bytes, self._request = [body], held, max_bytes, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the SDK answer; it reads the body again, and learns from nobody that the client has gone.

        Raises:
            ClientDisconnect: the client has gone, and was not answered.
        """
        from service.mcp.sdk import answer_http

        async def replayed() -> Message:
            if self._sent:
                return {"type": "http.request", "body": self._sent.pop(), "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError  # nobody sets it

        async def send_if_there(message: Message) -> None:
            if not service.hung_up:
                await send(message)

        refusal = context_of(scope).refusal
        service = _OwnService(self._request, self._held, receive)
        tools = Tools(service, WebSources(), refusal="" if refusal is None else refusal.detail)
        await answer_http(tools, self._max_bytes, scope, replayed, send_if_there)
        if service.hung_up:
            raise ClientDisconnect


class _OwnService:
    """This very service, asked in the name of whoever has sent a request.

    Attributes:
        hung_up: whether the client went away while it was asked.
    """

    def __init__(self, request: Request, held: HeldImages, receive: Receive) -> None:
        context = context_of(request.scope)
        headers = [
            (name.encode(), request.headers[name].encode("latin-1")) for name in PASSED_ON if name in request.headers
        ]
        headers.append((b"x-request-id", context.id.encode()))
        if context.trace is not None:
            headers += context.trace.headers
        client = request.scope.get("client")
        self._transport = InProcessTransport(request.app, client, headers, inner=True, hung_up=receive)
        self._held = held
        self.hung_up = False

    async def post(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> httpx.Response:
        """Send a request to a route of the API.

        Raises:
            ToolError: the client has gone.
        """
        async with httpx.AsyncClient(transport=self._transport, base_url="http://pheye") as client:
            try:
                return await client.request(**self._request_of(path, fields, file))
            except ClientDisconnect:
                self.hung_up = True
                raise ToolError("the agent has gone") from None  # words for nobody; the SDK would log anything else

    def _request_of(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> dict[str, Any]:
        if file is not None:
            return request_of(path, fields, file)
        # Without the text between that json.dumps makes, which is as large as the image.
        body, headers = to_json(self._held.put_back(fields)), {"Content-Type": "application/json"}
        return {"method": "POST", "url": path, "content": body, "headers": headers}
