"""Requests from inside the process: in a task of their own, and over when their client is."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.api.in_process import InProcessTransport


def test_a_request_has_its_clients_address_and_a_task_of_its_own() -> None:
    seen: dict[str, object] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(client=scope["client"], headers=dict(scope["headers"]), task=asyncio.current_task())
        seen["body"] = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"b")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def ask() -> httpx.Response:
        transport = InProcessTransport(app, ("192.0.2.1", 5), [(b"authorization", b"Bearer k")])
        async with httpx.AsyncClient(transport=transport, base_url="http://pheye") as client:
            answer = await client.post("/v1/x", json={"a": 1})
            assert seen["task"] is not asyncio.current_task()
        return answer

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.text, answer.headers["x-a"]) == (201, "done", "b")
    assert seen["client"] == ("192.0.2.1", 5)
    assert seen["headers"][b"authorization"] == b"Bearer k"  # type: ignore[index]
    assert seen["body"] == b'{"a":1}'


def test_a_client_that_hangs_up_ends_the_request_made_in_its_name() -> None:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async def hung_up() -> Message:
        return {"type": "http.disconnect"}

    async def ask() -> None:
        transport = InProcessTransport(app, hung_up=hung_up)
        async with httpx.AsyncClient(transport=transport, base_url="http://pheye") as client:
            await client.post("/v1/x")

    with pytest.raises(ClientDisconnect):
        asyncio.run(ask())
