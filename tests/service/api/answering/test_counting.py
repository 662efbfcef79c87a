"""Counting of prompts: it delays no image, stops when its client leaves, and has the deadline of everything else.

The application runs in this process without its workers; its tokenizer counts when it is told to.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from unittest.mock import Mock

import httpx
import pytest
from starlette.types import Message

from model.request import Sampling
from service.api.answering.room import check_room
from service.api.connections.disconnect import ClientDisconnect
from service.api.edge.affinity import INLINE_BYTES, hashed_promptly
from service.api.parts import ServiceParts
from service.errors import DeadlineExceeded
from service.images import ImageSource
from service.messages.rows import Row
from tests.service.api.test_retry_after import Service
from tests.support.serving import assert_problem

QUESTIONS = [f"question {number}" for number in range(16)]


class SlowTokenizer:
    """A tokenizer that counts when it may, and notes what it has begun to count."""

    def __init__(self) -> None:
        self.may_count = threading.Event()
        self.begun: list[str] = []

    def fewest_tokens(self, text: str) -> int:
        return len(text) // 10

    def encode(self, text: str) -> list[int]:
        self.begun.append(text)
        self.may_count.wait()
        return [0] * 100


@pytest.fixture
def tokenizer():
    slow = SlowTokenizer()
    yield slow
    slow.may_count.set()  # the interpreter waits for its threads at its end


def service_with(tokenizer: SlowTokenizer, **settings: object) -> Service:
    service = Service(**settings)
    service.load()
    service.queue.workers.supervisors[0].tokenizer = tokenizer  # type: ignore[assignment]
    return service


async def estimate(service: Service, address: str, **fields: object) -> httpx.Response:
    transport = httpx.ASGITransport(service.app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.post("/v1/estimate", json=fields)


async def settled(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not so")


def test_estimates_of_one_client_delay_neither_anothers_nor_the_hash_of_an_image(tokenizer) -> None:
    service = service_with(tokenizer)
    parts: ServiceParts = service.app.state.parts
    image = ImageSource(bytes(INLINE_BYTES + 1))

    async def scenario() -> None:
        greedy = [asyncio.create_task(estimate(service, "192.0.2.1", questions=QUESTIONS)) for _ in range(4)]
        await settled(lambda: tokenizer.begun)
        assert (await hashed_promptly(image, parts.hashing)).digest
        other = asyncio.create_task(estimate(service, "192.0.2.2", question="other"))
        await settled(lambda: any("other" in text for text in tokenizer.begun))
        assert len(tokenizer.begun) == 2
        tokenizer.may_count.set()
        answers = await asyncio.gather(other, *greedy)
        assert [answer.json()["prompt_tokens"] for answer in answers] == [100] + [1600] * 4

    asyncio.run(scenario())


def test_an_estimate_whose_client_hung_up_is_counted_no_further(tokenizer) -> None:
    service = service_with(tokenizer)

    async def scenario() -> None:
        hung_up = asyncio.Event()
        call = asyncio.create_task(_ask_until(hung_up, service.app, {"questions": QUESTIONS}))
        await settled(lambda: tokenizer.begun)
        hung_up.set()
        await call
        tokenizer.may_count.set()
        assert (await estimate(service, "192.0.2.1", question="next")).is_success
        assert len(tokenizer.begun) == 2

    asyncio.run(scenario())
    assert service.dropped("disconnect") == 1


async def _ask_until(hung_up: asyncio.Event, app: Callable[..., Awaitable[None]], fields: object) -> None:
    request = httpx.Request("POST", "http://service/v1/estimate", json=fields)
    sent = [{"type": "http.request", "body": request.content, "more_body": False}]

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await hung_up.wait()
        return {"type": "http.disconnect"}

    transport = httpx.ASGITransport(app)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/estimate",
        "raw_path": b"/v1/estimate",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": transport.client,
        "server": ("service", 80),
    }
    with suppress(ClientDisconnect):
        await app(scope, receive, Mock(side_effect=AssertionError("an answer")))


def test_an_estimate_that_waits_too_long_is_a_504(tokenizer) -> None:
    service = service_with(tokenizer, deadline_s=0.2)
    response = asyncio.run(estimate(service, "192.0.2.1", question="a"))
    assert_problem(response, 504, "no estimate within 0.2 s")
    assert service.dropped("deadline") == 1


def test_a_text_that_cannot_fit_is_refused_by_its_length_before_anything_is_counted(tokenizer) -> None:
    service = service_with(tokenizer)
    response = asyncio.run(estimate(service, "192.0.2.1", questions=["short", "a" * 16_000]))
    assert_problem(response, 422, "questions: its prompt of 16")
    assert tokenizer.begun == []


def test_a_stream_whose_prompt_waits_to_be_counted_has_its_deadline(tokenizer) -> None:
    service = service_with(tokenizer, deadline_s=0.2)
    row = Row("row", "a" * 2000, Sampling(max_tokens=5))

    async def scenario() -> None:
        with service.queue.reserve(1) as reservation, pytest.raises(DeadlineExceeded):
            await check_room(service.app.state.parts, [row], reservation, streamed=True)

    asyncio.run(scenario())
    assert service.dropped("deadline") == 1
