"""The MCP server of the official SDK, with the tools in it; over stdio, or for one HTTP request.

The one place that imports the SDK. Event loop.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from mcp import types
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from service.mcp.service_client import ToolError
from service.mcp.tools import CARDS, INSTRUCTIONS, Tools


def mcp_server(tools: Tools) -> Server[Any]:
    """Make a server that offers these tools; what goes wrong in a call is a tool error, in words."""

    async def on_list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=card.name,
                    title=card.title,
                    description=card.description,
                    input_schema=tools.input_schema(card),
                    output_schema=card.result.model_json_schema(),
                    annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
                )
                for card in CARDS
            ]
        )

    async def on_call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            result = await tools.call(params.name, params.arguments or {})
        except ToolError as error:
            return types.CallToolResult(content=[types.TextContent(type="text", text=str(error))], is_error=True)
        text = types.TextContent(type="text", text=result.text)
        return types.CallToolResult(content=[text], structured_content=dict(result.structured))

    return Server(
        "pheye",
        version=version("pheye-service"),
        instructions=INSTRUCTIONS,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


async def serve_stdio(tools: Tools) -> None:
    """Speak MCP over standard input and output until the input ends; other output goes to standard error."""
    server = mcp_server(tools)
    try:
        async with stdio_server() as (read, write):
            options = server.create_initialization_options()
            await server.run(_AnsweredGarbage(read, write), write, options)
    except* BrokenPipeError:
        pass  # the agent reads no more, so nobody is left to tell


class _AnsweredGarbage:
    """Messages read from a connection, whose other lines are answered with an error, as the SDK does not do."""

    def __init__(self, read: Any, write: Any) -> None:
        self._read, self._write = read, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read, name)

    async def __aenter__(self) -> _AnsweredGarbage:
        await self._read.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._read.__aexit__(*failure)

    def __aiter__(self) -> _AnsweredGarbage:
        return self

    async def __anext__(self) -> Any:
        while isinstance(item := await anext(self._read), Exception):
            # The SDK tells text that is no JSON from JSON that is no message by these errors alone.
            is_json = not isinstance(item, ValidationError) or item.errors()[0]["type"] != "json_invalid"
            code, words = (types.INVALID_REQUEST, "Invalid Request") if is_json else (types.PARSE_ERROR, "Parse error")
            error = types.ErrorData(code=code, message=words)
            await self._write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=None, error=error)))
        return item


async def answer_http(tools: Tools, max_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of the streamable HTTP transport, as JSON; nothing of it is kept (no sessions)."""
    manager = StreamableHTTPSessionManager(
        mcp_server(tools), stateless=True, json_response=True, max_request_body_size=max_bytes
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)
