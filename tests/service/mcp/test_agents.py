"""Agents that speak MCP, with the official SDK's own client: over HTTP with a running server, and over stdio."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from service import mcp_process
from service.batch.answerers.server import ServiceConnection
from service.cli.main import app
from service.mcp.images import LocalSources
from service.mcp.results import ToolResult
from service.mcp.service_client import ToolError
from service.mcp.tools import Tools
from service.mcp_process import RunningService
from tests.support.pages import ROOT
from tests.support.serving import Server, image_file, running_server

SCENE = ROOT / "docs/images/scene.png"
KEYS = """
[[key]]
name = "agent"
key = "agent-key"

[[key]]
name = "slow"
key = "slow-key"
rate = "1/hour"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(KEYS)
    with running_server(mcp="true", keys_file=file, default_max_tokens=8, mcp_hosts="pheye.test") as running:
        yield running


def talk(transport: Any, conversation: Callable[[Client], Awaitable[None]]) -> None:
    async def speak() -> None:
        async with Client(transport) as client:
            await conversation(client)

    asyncio.run(speak())


def over_http(server: Server, key: str, conversation: Callable[[Client], Awaitable[None]]) -> None:
    async def speak() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60.0) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
        ):
            await conversation(client)

    asyncio.run(speak())


def stdio(*words: str) -> StdioServerParameters:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHEYE_")}
    arguments = ["-W", "error", "-m", "service.cli.entry", "mcp", *words]
    return StdioServerParameters(command=sys.executable, args=arguments, env=env, cwd=ROOT)


def test_an_agent_captions_a_file_and_asks_two_questions_about_it() -> None:
    """As a user's agent does it: the command is started by the agent and has an engine of its own."""

    async def conversation(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["caption", "ask", "estimate"]
        caption = await client.call_tool("caption", {"image_path": str(SCENE)})
        assert not caption.is_error
        assert 'a sign in the center that reads "4695"' in caption.content[0].text
        assert caption.structured_content["caption"] == caption.content[0].text
        questions = ["What does the sign say?", "How many shapes are there?"]
        asked = await client.call_tool("ask", {"image_path": "docs/images/scene.png", "questions": questions})
        answers = [each["answer"] for each in asked.structured_content["answers"]]
        assert answers == ['The sign says "4695".', "There are 3 shapes."]
        wrong = await client.call_tool("caption", {"image_path": "README.md"})
        assert wrong.is_error
        assert f"image_path: {ROOT}/README.md: not of a format that is read here" in wrong.content[0].text

    talk(stdio("--threads", "1"), conversation)


def test_in_front_of_a_server_a_file_is_sent_there_and_its_questions_are_one_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command's own words and its service; the protocol around it is that of the test above."""
    (tmp_path / "key").write_text("agent-key")
    (tmp_path / "photo.jpg").write_bytes(image_file())
    typed: list[ServiceConnection] = []
    monkeypatch.setattr(mcp_process, "serve_there", lambda connection: typed.append(connection) or 3)
    key = ("--api-key-file", str(tmp_path / "key"))
    assert CliRunner().invoke(app, ["mcp", "--server", server.url, *key]).exit_code == 3
    tools = Tools(RunningService(typed[0]), LocalSources(1 << 20))
    series = 'pheye_requests_total{endpoint="/v1/vqa",status="200"}'

    async def ask() -> tuple[ToolResult, ToolResult]:
        photo = {"image_path": str(tmp_path / "photo.jpg")}
        asked = await tools.call("ask", {**photo, "questions": ["a", "b"], "max_tokens": 3})
        return asked, await tools.call("estimate", {**photo, "questions": "a"})

    before = server.metric(series, Authorization="Bearer agent-key")
    asked, estimate = asyncio.run(ask())
    assert len(asked.structured["answers"]) == 2
    assert "The image is encoded already." in estimate.text
    assert server.metric(series, Authorization="Bearer agent-key") == before + 1
    nobody = Tools(RunningService(replace(typed[0], url="http://127.0.0.1:9", retry_for_s=0.0)), LocalSources(1 << 20))
    with pytest.raises(ToolError, match="is the service running there"):
        asyncio.run(nobody.call("estimate", {}))


def test_over_http_the_tools_answer_and_errors_are_words(server: Server) -> None:
    image = {"image_base64": base64.b64encode(image_file()).decode()}

    async def conversation(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert all("image_path" not in tool.input_schema["properties"] for tool in tools)
        caption = await client.call_tool("caption", {**image, "length": "short"})
        assert caption.structured_content["image"]["format"] == "JPEG"
        asked = await client.call_tool("ask", {**image, "questions": ["a", "b"], "choices": ["x", "y"]})
        assert {each["answer"] for each in asked.structured_content["answers"]} <= {"A", "B", "x", "y"}
        for arguments, said in (
            ({"image_path": str(SCENE)}, "this server cannot see your files"),
            ({"image_url": "http://127.0.0.1:9/a.png"}, "image_url: 127.0.0.1: images are not fetched here"),
            ({"image_base64": "zz"}, "image_base64: not an image"),
            ({"image_id": "img_0"}, "image_id: no image of yours has this id"),
        ):
            wrong = await client.call_tool("caption", arguments)
            assert wrong.is_error
            assert said in wrong.content[0].text

    over_http(server, "agent-key", conversation)


def test_over_its_keys_limit_a_call_is_refused_in_words(server: Server) -> None:
    image = {"image_base64": base64.b64encode(image_file()).decode()}
    params = {"name": "caption", "arguments": image}
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    results = [post(server, call, Authorization="Bearer slow-key").json()["result"] for _ in range(2)]
    assert [result["isError"] for result in results] == [False, True]
    assert "your limit is 1 per 1 hour; try again in" in results[1]["content"][0]["text"]


def post(server: Server, body: bytes | None = None, **headers: str) -> httpx.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    sent = {
        "Authorization": "Bearer agent-key",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **headers,
    }
    return httpx.post(f"{server.url}/mcp", content=json.dumps(message).encode() if body is None else body, headers=sent)


def test_pages_strangers_and_odd_bodies_are_kept_out(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    assert post(server).json()["result"]["tools"][0]["name"] == "caption"
    for taken in ({"Host": f"localhost:{port}"}, {"Host": "pheye.test"}, {"Origin": server.url}):
        assert post(server, **taken).status_code == 200, taken
    for refused in ({"Host": "evil.test"}, {"Origin": "https://evil.test"}, {"Origin": "null"}):
        answer = post(server, **refused)
        assert (answer.status_code, answer.json()["type"]) == (403, "/errors/origin-refused")
    assert post(server, Authorization="Bearer other").status_code == 401
    assert post(server, b"[" * 50_000).status_code == 400
    assert post(server, b"[]").status_code == 400
    assert post(server, b"{}").status_code == 400
    assert post(server, b"{}", **{"Content-Type": "text/plain"}).status_code == 415
    assert post(server, b" " * (21 << 20)).status_code == 413
    key = {"Authorization": "Bearer agent-key"}
    assert httpx.get(f"{server.url}/mcp", headers=key).status_code == 405
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_doctor_tells_what_a_running_server_says_of_itself(server: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("agent-key")
    port = server.url.rpartition(":")[2]
    words = ("doctor", "--port", port, "--server", server.url, "--api-key-file", str(tmp_path / "key"))
    done = CliRunner().invoke(app, words)
    shown = " ".join(done.stdout.split())
    assert done.exit_code == 0, shown
    assert "model pheye-micro-random-weights; 16 questions and 21 MB a request, 300 s" in shown
    assert "server ready model pheye-micro-random-weights, device cpu" in shown
    assert 'pheye_slots{device="cpu",worker="0"} 8' in shown
    assert "_total{" not in shown.replace('{reason="rate"}', "")  # of counters only those that have counted
    assert "which is the server asked about" in shown
    assert "agent-key" not in shown
