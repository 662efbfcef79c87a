"""`POST /mcp`: the streamable HTTP transport of the Model Context Protocol (MCP), where it is switched on.

Owns who may call and what goes on in their name: each tool call is a request of the HTTP API with the caller's key and
address, so keys, limits and fairness are those of every other request. The SDK does the protocol, and is imported only
here and only then. Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.api.access.client_limits import FORWARDING
from service.api.access.origins import check_origin
from service.api.in_process import InProcessTransport
from service.api.parts import Parts
from service.api.request_body import read_json
from service.api.request_context import context_of
from service.errors import NotOffered
from service.mcp.images import WebSources
from service.mcp.service_client import request_of
from service.mcp.tools import Tools

PASSED_ON = ("authorization", "x-moondream-auth", "traceparent")

router = APIRouter(include_in_schema=False)


@router.post("/mcp", openapi_extra=FORWARDING)
async def mcp(request: Request, parts: Parts) -> Response:
    """Answer one message of an agent; there are no sessions, so any instance may answer the next one."""
    settings = parts.settings
    if not settings.mcp:
        raise NotOffered("/mcp: MCP is switched off here; start the service with PHEYE_MCP=true")
    check_origin(request.headers, settings.mcp_hosts.split(","), settings.cors_origins.split(","))
    await read_json(request)  # judged as every body is, before the SDK reads it
    return _McpReply(await request.body(), settings.max_body_bytes, request)


class _McpReply(Response):
    """A response that the SDK writes when the framework calls it."""

    def __init__(self, body: bytes, max_bytes: int, request: Request) -> None:
        super().__init__()
        self._sent, self._max_bytes, self._request = body, max_bytes, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the SDK answer; it reads the body again, and learns from nobody that the client has gone."""
        from service.mcp.sdk import answer_http

        body = [self._sent]

        async def replayed() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError  # nobody sets it

        tools = Tools(_OwnService(self._request, receive), WebSources())
        await answer_http(tools, self._max_bytes, scope, replayed, send)


class _OwnService:
    """This very service, asked in the name of whoever has sent a request."""

    def __init__(self, request: Request, receive: Receive) -> None:
        context = context_of(request.scope)
        headers = [
            (name.encode(), request.headers[name].encode("latin-1")) for name in PASSED_ON if name in request.headers
        ]
        headers.append((b"x-request-id", context.id.encode()))
        client = request.scope.get("client")
        self._transport = InProcessTransport(request.app, client, headers, receive)

    async def post(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> httpx.Response:
        """Send a request to a route of the API."""
        async with httpx.AsyncClient(transport=self._transport, base_url="http://pheye") as client:
            return await client.request(**request_of(path, fields, file))
