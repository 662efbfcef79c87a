"""MCP over standard input and output, with files in their place: odd lines, and a reader that is gone."""

from __future__ import annotations

import asyncio
import io
import json
from functools import partial

import anyio
import pytest
from mcp.server.stdio import stdio_server

from service.mcp import sdk
from service.mcp.images import WebSources
from service.mcp.tools import Tools
from tests.service.mcp.test_tools import Scripted

PING = '{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'


class StandardOutput(io.StringIO):
    """Standard output that is nobody's any more, if it is broken."""

    broken = False

    def flush(self) -> None:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")


def speak(lines: str, output: StandardOutput, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    files = partial(stdio_server, anyio.wrap_file(io.StringIO(lines)), anyio.wrap_file(output))  # type: ignore[type-var]
    monkeypatch.setattr(sdk, "stdio_server", files)
    asyncio.run(sdk.serve_stdio(Tools(Scripted(), WebSources())))
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_lines_that_are_no_message_are_answered_with_an_error_and_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    said = speak('garbage\n{"a": 1}\n\n[]\n' + PING, StandardOutput(), monkeypatch)
    codes = [(each["id"], each["error"]["code"]) for each in said if "error" in each]  # type: ignore[index]
    assert codes[:4] == [(None, -32700), (None, -32600), (None, -32700), (None, -32600)]


def test_a_reader_that_is_gone_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    output = StandardOutput()
    output.broken = True
    speak("garbage\n" + PING, output, monkeypatch)
