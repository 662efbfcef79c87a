"""Writing of large answers: in threads, within the deadline, and sent in pieces."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import partial

import pytest
from pydantic import BaseModel
from starlette.types import Message

from service.api.answering.writing import PIECE_BYTES, in_pieces, written
from service.api.encoding import Extended, json_response, sse_event
from service.api.fair_threads import FairThreads
from service.errors import DeadlineExceeded
from tests.service.api.test_retry_after import Service


class Told(BaseModel):
    id: str


def write(noted: list[str], value: str) -> str:
    noted.append(threading.current_thread().name)
    return json.dumps(value)


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_what_is_large_is_written_in_threads_and_stands_behind_the_rest(several: bool) -> None:
    noted: list[str] = []
    values = ["a", "b"] if several else ["a"]
    item = Extended(Told(id="x"), "large", [partial(write, noted, value) for value in values], several)
    threads, service = FairThreads(1, "writing"), Service()
    service.load()

    async def scenario() -> None:
        with service.queue.reserve(1) as reservation:
            response = await written(threads, reservation, item, json_response)
            event = await written(threads, reservation, item, sse_event)
        expected = {"id": "x", "large": values if several else "a"}
        assert json.loads(response.body) == expected
        assert json.loads(event.removeprefix(b"data: ")) == expected
        assert noted == ["writing_0"] * 2 * len(values)
        threads.shutdown()

    asyncio.run(scenario())


def test_an_answer_that_waits_too_long_to_be_written_is_over() -> None:
    threads, service, go_on = FairThreads(1, "writing"), Service(deadline_s=0.1), threading.Event()
    service.load()

    async def scenario() -> None:
        other = asyncio.create_task(threads.run("other", go_on.wait))
        item = Extended(Told(id="x"), "large", [lambda: "1"], is_list=False)
        with service.queue.reserve(1) as reservation, pytest.raises(DeadlineExceeded):
            await written(threads, reservation, item, json_response)
        go_on.set()
        await other
        threads.shutdown()

    asyncio.run(scenario())
    assert service.dropped("deadline") == 1


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
@pytest.mark.parametrize("more", [False, True], ids=["end", "more"])
def test_a_large_body_is_sent_in_pieces_and_a_small_one_as_it_is(size: int, more: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    message = {"type": "http.response.body", "body": bytes(range(256)) * (size // 256) + b"x" * (size % 256)}
    asyncio.run(in_pieces(send)(message | {"more_body": more}))
    assert b"".join(each["body"] for each in sent) == message["body"]
    assert all(0 < len(each["body"]) <= PIECE_BYTES for each in sent) or size == 0
    assert [each["more_body"] for each in sent] == [True] * (len(sent) - 1) + [more]
    assert len(sent) == max(1, -(-size // PIECE_BYTES))
