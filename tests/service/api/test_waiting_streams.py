"""Streams that wait: head and pings come at once, later failures as events, and what is known at once as a status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.types import Message

from model.pixels.tiles import TiledImage, prepare
from service.api.openapi.examples import DISC
from service.errors import InvalidField
from tests.service.api.test_retry_after import CARD, Service
from tests.support.serving import (
    ENDLESS,
    Server,
    body,
    data_uri,
    image_file,
    running_server,
    wait_until,
)

LONG = {"max_tokens": 700, **ENDLESS}
PING = ": keep-alive"
LEFT = 'pheye_requests_dropped_total{reason="disconnect"}'


def chat(image: str = DISC, **fields: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": "What is it?"}]
    return {"messages": [{"role": "user", "content": content}], "stream": True} | fields


ASKED = {"/v1/caption": body(stream=True), "/v1/chat/completions": chat()}


@pytest.fixture(scope="module")
def narrow() -> Iterator[Server]:
    """One slot, and six may wait for it."""
    with running_server(slots=1, max_waiting=6, sse_ping_s=0.1) as running:
        yield running


@pytest.fixture
def busy(narrow: Server) -> Iterator[Server]:
    """Its slot is taken, and three wait for it, until the test is over."""
    asked = body(stream=True, settings=LONG, questions=["a", "b", "c", "d"])
    with narrow.client() as client, client.stream("POST", "/v1/vqa", json=asked) as response:
        assert response.status_code == 200
        wait_until(lambda: narrow.metric("pheye_requests_running") == 1.0)
        yield narrow
    wait_until(lambda: narrow.metric("pheye_requests_running") + narrow.metric("pheye_requests_waiting") == 0.0, 30)


@pytest.mark.parametrize("path", ASKED)
def test_a_stream_that_waits_has_its_head_and_pings_and_frees_its_place_when_its_client_leaves(
    busy: Server, path: str
) -> None:
    left = busy.metric(LEFT)
    with busy.client() as client, client.stream("POST", path, json=ASKED[path]) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-accel-buffering"] == "no"
        lines = response.iter_lines()
        assert [line for line in (next(lines) for _ in range(6)) if line] == [PING] * 3
    wait_until(lambda: busy.metric(LEFT) == left + 1)


@pytest.mark.parametrize("path", ASKED)
def test_what_is_known_at_once_is_a_plain_status(busy: Server, path: str) -> None:
    cut = data_uri(image_file()[:-300])
    is_chat = path.startswith("/v1/chat")
    with busy.client() as client, ExitStack() as waiting:
        broken = client.post(path, json=chat(cut) if is_chat else body(stream=True, image_url=cut))
        assert broken.status_code == (400 if is_chat else 422)
        assert "broken or cut short" in broken.text
        limit = {"max_tokens": 1024} if is_chat else {"settings": {"max_tokens": 1024}}
        no_room = client.post(path, json=ASKED[path] | limit)
        assert no_room.status_code == (400 if is_chat else 422)
        assert "max_tokens: 1024 and a prompt of" in no_room.text
        for _ in range(20):
            response = waiting.enter_context(client.stream("POST", path, json=ASKED[path]))
            if response.status_code == 429:
                break
        assert int(response.headers["retry-after"]) >= 1


def test_silence_in_a_stream_is_filled_with_pings_and_nothing_else_comes_between(narrow: Server) -> None:
    text = ""
    with ThreadPoolExecutor(2) as pool:
        asked = body(stream=True, settings={"max_tokens": 300, **ENDLESS})
        streams = [pool.submit(httpx.post, f"{narrow.url}/v1/caption", json=asked, timeout=60) for _ in range(2)]
        for each in streams:
            text += each.result().text
    blocks = text.split("\n\n")
    assert PING in blocks
    assert all(block in ("", PING) or block.startswith("data: {") for block in blocks)


class Slow(Service):
    """The service, whose images are decoded when the test says so; no worker takes what it accepts."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(sse_ping_s=0.1, **settings)
        self.load()
        self.decoded: asyncio.Future[TiledImage] = asyncio.Future()
        self.app.state.parts.decoders.decode = self._decode
        self.queue.workers.hand_out = list  # type: ignore[method-assign, assignment]
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def _decode(self, *_: Any, **__: Any) -> TiledImage:
        return await asyncio.shield(self.decoded)

    async def stream(self, path: str) -> None:
        """One request as a server would bring it; what is sent is kept."""
        content = json.dumps(ASKED[path]).encode()
        body: list[Message] = [{"type": "http.request", "body": content}]

        async def receive() -> Message:
            if body:
                return body.pop()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await self.app({**scope, "client": ("10.0.0.1", 1), "app": self.app}, receive, send)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent[1:]).decode()

    @property
    def last(self) -> dict[str, Any]:
        """The last event."""
        return json.loads(self.text.rstrip().rpartition("\n\n")[2].removeprefix("data: "))


def an_image() -> TiledImage:
    return prepare(Image.new("RGB", (8, 8)), CARD.tile_px, CARD.level)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - polls what a whole service does
            await asyncio.sleep(0.01)


def play(scenario: Callable[[Slow, str], Awaitable[None]], path: str) -> None:
    async def run() -> None:
        await scenario(Slow(), path)

    asyncio.run(run())


def error_of(service: Slow, path: str) -> str:
    """What the last event says went wrong; a chat's is not followed by [DONE]."""
    assert service.status == 200
    assert not service.sent[-1].get("more_body")
    if path.startswith("/v1/chat"):
        assert service.last.keys() == {"error"}
        assert "[DONE]" not in service.text
        return str(service.last["error"]["message"])
    assert service.last.keys() == {"error", "completed"}
    return str(service.last["error"]["detail"])


@pytest.mark.parametrize("path", ASKED)
def test_an_image_that_takes_long_to_decode_leaves_no_stream_silent(path: str) -> None:
    async def scenario(service: Slow, path: str) -> None:
        asked = asyncio.create_task(service.stream(path))
        await until(lambda: service.text.count(PING) >= 2)
        assert service.status == 200
        service.decoded.set_exception(InvalidField("image: broken or cut short"))
        await asked
        assert "broken or cut short" in error_of(service, path)
        assert not service.queue.busy

    play(scenario, path)


@pytest.mark.parametrize("accepted", [False, True], ids=["decoding", "waiting"])
@pytest.mark.parametrize("path", ASKED)
def test_a_service_that_stops_ends_every_stream_with_the_reason(path: str, accepted: bool) -> None:
    async def scenario(service: Slow, path: str) -> None:
        asked = asyncio.create_task(service.stream(path))
        if accepted:
            service.decoded.set_result(an_image())
        await until(lambda: PING in service.text)
        await service.queue.drain(0.0)
        await asked
        assert "the service stopped before the answer was complete" in error_of(service, path)
        assert not service.queue.busy

    play(scenario, path)


@pytest.mark.parametrize("accepted", [False, True], ids=["decoding", "waiting"])
def test_a_client_that_leaves_before_its_first_token_frees_its_place(accepted: bool) -> None:
    async def scenario(service: Slow, path: str) -> None:
        asked = asyncio.create_task(service.stream(path))
        if accepted:
            service.decoded.set_result(an_image())
        await until(lambda: PING in service.text)
        assert service.queue.busy
        service.gone.set()
        await asked
        assert not service.queue.busy
        assert service.dropped("disconnect") == 1

    play(scenario, "/v1/caption")


def test_a_stream_whose_deadline_passes_while_it_waits_ends_with_504() -> None:
    async def run() -> None:
        service = Slow(deadline_s=0.5)
        service.decoded.set_result(an_image())
        await service.stream("/v1/caption")
        assert service.last["error"]["status"] == 504
        assert service.dropped("deadline") == 1

    asyncio.run(run())
