"""`POST /mcp` without a model behind it: what a message counts for, what is kept of it, and agents that hang up."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect

from service.api.app import create_app
from service.api.connections.uploads import SMALL_BYTES, Uploads
from service.api.in_process import InProcessTransport
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics

LARGE = "A" * (4 * SMALL_BYTES)


def service(**settings: Any) -> FastAPI:
    chosen = Settings(mcp=True, **settings)
    metrics = Metrics()
    return create_app(chosen, RequestQueue(chosen, metrics), metrics)


def post(app: FastAPI, method: str = "tools/list", host: str = "localhost", **arguments: Any) -> httpx.Response:
    params = {"name": "caption", "arguments": arguments} if method == "tools/call" else {}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    async def ask() -> httpx.Response:
        transport = InProcessTransport(app, ("192.0.2.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"Accept": "application/json, text/event-stream", "Host": host}
            return await client.post("/mcp", json=message, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("field", ["image_base64", "image_url"])
def test_an_image_counts_once_and_the_sdk_never_sees_it(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp.types import CallToolRequestParams

    held: list[int] = []
    seen: list[int] = []
    take, inner, made = Uploads.take, InProcessTransport.handle_async_request, CallToolRequestParams.model_validate

    def noted(self: Uploads, client: str, before: int, after: int) -> None:
        take(self, client, before, after)
        held.append(self.held_bytes)

    async def asked(self: InProcessTransport, request: httpx.Request) -> httpx.Response:
        if self.inner:
            assert LARGE.encode() in await request.aread()
        return await inner(self, request)

    def validated(value: Any, **words: Any) -> CallToolRequestParams:
        seen.append(len(str(value)))
        return made(value, **words)

    monkeypatch.setattr(Uploads, "take", noted)
    monkeypatch.setattr(InProcessTransport, "handle_async_request", asked)
    monkeypatch.setattr(CallToolRequestParams, "model_validate", validated)
    answer = post(service(), "tools/call", **{field: LARGE})
    assert answer.json()["result"]["isError"]
    assert max(held) < len(LARGE) + 1000
    assert seen
    assert all(size < SMALL_BYTES for size in seen)


def test_an_agent_that_hangs_up_is_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inner = InProcessTransport.handle_async_request

    async def hung_up(self: InProcessTransport, request: httpx.Request) -> httpx.Response:
        if self.inner:
            raise ClientDisconnect
        return await inner(self, request)

    monkeypatch.setattr(InProcessTransport, "handle_async_request", hung_up)
    caplog.set_level(logging.INFO)
    with pytest.raises(ClientDisconnect):  # from the test's own transport: nothing was sent
        post(service(), "tools/call", image_id="img_1")
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []
    [line] = [record.getMessage() for record in caplog.records if record.name == "pheye.access"]
    assert "POST '/mcp' 499" in line


def test_every_message_counts_once_and_a_call_is_refused_in_words() -> None:
    app = service(client_rate="3/hour")
    assert [post(app).status_code, post(app, "ping").status_code] == [200, 200]
    assert "your limit" not in post(app, "tools/call", image_id="img_1").text
    refused = post(app, "tools/call", image_id=1).json()["result"]
    assert refused["isError"]
    assert "your limit is 3 per 1 hour; try again in" in refused["content"][0]["text"]
    listed = post(app)
    assert (listed.status_code, listed.json()["type"]) == (429, "/errors/rate-limited")
    assert int(listed.headers["retry-after"]) > 0


@pytest.mark.parametrize("host", ["", "[evil", ":80", "a:b:c", "evil.test", "[::1"])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    assert post(service(), host=host).status_code == 403
