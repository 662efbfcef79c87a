"""`POST /mcp`: the streamable HTTP transport of the Model Context Protocol (MCP), where it is switched on.

Owns who may call; `service.api.mcp_reply`, which is imported only where somebody does, has the answer. Event loop.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.access.client_limits import FORWARDING, REFUSAL_DELAY_S
from service.api.access.origins import check_origin
from service.api.bodies.json_text import json_object
from service.api.bodies.request_body import check_is_json
from service.api.parts import Parts
from service.api.request_context import context_of
from service.errors import NotOffered, RateLimited

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
    from service.api.mcp_reply import McpReply, take_images

    body, held = take_images(body, message)
    return McpReply(body, held, settings.most_body_bytes, request)
