"""Uploads: each bounded, all bounded together, none may pause for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from service.api import uploads
from service.api.uploads import Upload, Uploads
from service.errors import TooLarge, UploadStalled, WaitingRoomFull


def body_of(chunks: Iterable[bytes]) -> list[Message]:
    parts = list(chunks)
    return [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1} for index, part in enumerate(parts)
    ]


def upload_of(chunks: Iterable[bytes], together: Uploads, max_bytes: int = 100) -> Upload:
    messages = iter(body_of(chunks))

    async def receive() -> Message:
        return next(messages)

    return Upload(receive, max_bytes, together)


async def read(upload: Upload) -> bytes:
    whole = b""
    while True:
        message = await upload.receive()
        whole += message["body"]
        if not message["more_body"]:
            return whole


def test_what_fits_arrives_and_is_forgotten_afterwards() -> None:
    together = Uploads(1000)
    upload = upload_of([b"a" * 60, b"b" * 40], together)
    assert asyncio.run(read(upload)) == b"a" * 60 + b"b" * 40
    assert together.held_bytes == 100
    upload.forget()
    assert together.held_bytes == 0


def test_one_byte_too_many_is_refused_and_forgotten() -> None:
    together = Uploads(1000)
    upload = upload_of([b"a" * 60, b"b" * 41, b"c"], together)
    with pytest.raises(TooLarge, match="100 bytes"):
        asyncio.run(read(upload))
    upload.forget()
    assert together.held_bytes == 0


def test_a_length_that_is_too_large_is_refused_before_reading() -> None:
    upload = upload_of([b"a"], Uploads(1000))
    with pytest.raises(TooLarge):
        upload.check_length(Headers({"content-length": "101"}))


@pytest.mark.parametrize(
    ("pieces", "headers", "read"),
    [
        pytest.param([b"a", b"b"], {}, 2, id="whole"),
        pytest.param([b"a" * 100] * 9, {}, 4, id="no-end"),
        pytest.param([b"a"], {"expect": "100-continue"}, 0, id="not-sent-yet"),
    ],
)
def test_what_a_refused_client_still_sends_is_dropped_within_bounds(pieces, headers, read) -> None:
    taken = []
    messages = iter(body_of(pieces))

    async def receive() -> Message:
        taken.append(next(messages))
        return taken[-1]

    asyncio.run(Upload(receive, 100, Uploads(1000)).linger(Headers(headers)))
    assert len(taken) == read


def test_many_uploads_that_together_hold_too_much_are_refused_and_may_try_again() -> None:
    together = Uploads(150)
    first = upload_of([b"a" * 90], together)
    asyncio.run(read(first))
    second = upload_of([b"b" * 90], together)
    with pytest.raises(WaitingRoomFull) as refused:
        asyncio.run(read(second))
    assert refused.value.retry_after_s == 1
    second.forget()
    first.forget()
    assert asyncio.run(read(upload_of([b"c" * 90], together)))


def test_an_upload_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_S", 0.01)

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(UploadStalled):
        asyncio.run(Upload(receive, 100, Uploads(1000)).receive())


def test_after_the_body_the_hang_up_may_come_as_late_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_S", 0.01)
    messages = iter([*body_of([b"a"]), {"type": "http.disconnect"}])

    async def receive() -> Message:
        message = next(messages)
        if message["type"] == "http.disconnect":
            await asyncio.sleep(0.1)
        return message

    async def scenario() -> None:
        upload = Upload(receive, 100, Uploads(1000))
        assert (await upload.receive())["body"] == b"a"
        assert (await upload.receive())["type"] == "http.disconnect"

    asyncio.run(scenario())
