"""`POST /mcp`: the streamable HTTP transport of the Model Context Protocol (MCP), where it is switched on.

Owns who may call and what goes on in their name: each tool call is a request of the HTTP API with the caller's key and
address, so keys and fairness are those of every other request; limits and room for bodies count the message itself, and
not that request too. The SDK does the protocol, and is imported only here and only then. Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.api.access.client_limits import FORWARDING, REFUSAL_DELAY_S
from service.api.access.origins import check_origin
from service.api.in_process import InProcessTransport
from service.api.parts import Parts
from service.api.request_body import check_is_json, json_object
from service.api.request_context import context_of
from service.errors import NotOffered, RateLimited
from service.mcp.held_images import HeldImages, take_images
from service.mcp.images import WebSources
from service.mcp.service_client import ToolError, request_of
from service.mcp.tools import Tools

PASSED_ON = ("authorization", "x-moondream-auth")

router = APIRouter(include_in_schema=False)


@router.post("/mcp", openapi_extra=FORWARDING)
async def mcp(request: Request, parts: Parts) -> Response:
    """Answer one message of an agent; there are no sessions, so any instance may answer the next one."""
    settings = parts.settings
    if not settings.mcp:
        raise NotOffered("/mcp: MCP is switched off here; start the service with PHEYE_MCP=true")
    check_origin(request.headers, settings.mcp_hosts.split(","), settings.cors_origins.split(","))
    check_is_json(request)
    body = b"".join([chunk async for chunk in request.stream()])  # `request.body()` would keep it
    message = json_object(body, "body")  # judged as every body is, before the SDK reads it
    refusal = context_of(request.scope).refusal
    if refusal is not None and message.get("method") == "tools/call":
        reason = "rate" if isinstance(refusal, RateLimited) else "concurrency"
        parts.metrics.requests_dropped.labels(reason).inc()
        await asyncio.sleep(REFUSAL_DELAY_S)
    elif refusal is not None:
        raise refusal
    body, held = take_images(body, message)
    return _McpReply(body, held, settings.max_body_bytes, request)


class _McpReply(Response):
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
