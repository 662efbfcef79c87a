"""Uploads: each bounded, all bounded together, none may pause for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from service.api.connections import uploads
from service.api.connections.uploads import SMALL_BYTES, Upload, Uploads
from service.api.request_context import RequestContext
from service.errors import TooLarge, UploadStalled, WaitingRoomFull


def body_of(chunks: Iterable[bytes]) -> list[Message]:
    parts = list(chunks)
    return [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1} for index, part in enumerate(parts)
    ]


def upload_of(chunks: Iterable[bytes], together: Uploads, max_bytes: int = 100, client: str = "a") -> Upload:
    messages = iter(body_of(chunks))

    async def receive() -> Message:
        return next(messages)

    return Upload(receive, together, RequestContext(client=client), max_bytes=max_bytes, timeout_s=60.0)


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

    upload = Upload(receive, Uploads(1000), RequestContext(), max_bytes=100, timeout_s=60.0)
    asyncio.run(upload.linger(Headers(headers)))
    assert len(taken) == read


MIB = 2**20


def take_all(together: Uploads, client: str, size: int = MIB) -> int:
    """How many bodies of a size a client gets in, one after the other, before it is refused."""
    for count in range(10_000):
        try:
            together.take(client, 0, size)
        except WaitingRoomFull:
            return count
    raise AssertionError("no bound")


def test_a_client_alone_may_hold_half_and_there_is_always_something_left_for_others() -> None:
    together = Uploads(512 * MIB)
    assert 180 < take_all(together, "greedy") < 260
    for client in ("second", "third", "fourth"):
        assert take_all(together, client) > 20
    assert together.held_bytes <= together.limit_bytes
    assert take_all(together, "greedy") == 0


def test_bodies_held_back_by_one_client_do_not_lock_others_out() -> None:
    """27 bodies of 19.9 MB without their last byte gave everybody else 429 for ever."""
    together = Uploads(512 * MIB)
    accepted = take_all(together, "attacker", 19_900_000)
    assert 5 < accepted < 27
    assert take_all(together, "other", 19_900_000) > 1
    assert take_all(together, "third", MIB) > 10


def test_small_bodies_get_in_when_nothing_else_does() -> None:
    together = Uploads(64 * MIB)
    for client in range(100):
        take_all(together, f"attacker {client}", 8 * MIB)
        take_all(together, f"attacker {client}", MIB)
    with pytest.raises(WaitingRoomFull):
        together.take("new", 0, MIB)
    for _ in range(50):
        together.take("new", 0, SMALL_BYTES)


def test_small_bodies_of_one_client_leave_room_for_those_of_others() -> None:
    """Each may be promised 64 KiB by its head alone: 256 connections of one client gave everybody else 429."""
    together = Uploads(64 * MIB)
    assert 100 < take_all(together, "greedy", SMALL_BYTES) < 256
    assert take_all(together, "second", SMALL_BYTES) > 20
    together.take("third", 0, SMALL_BYTES)
    together.take("third", 0, 300)


@pytest.mark.parametrize("first", ["the same client", "another"])
def test_the_only_large_body_gets_in_beside_small_ones(first: str) -> None:
    """An image by its URL comes beside the request that names it, so that it is never the only body."""
    together = Uploads(32 * MIB)
    together.take(first, 0, 300)
    together.take("the same client", 0, 20 * MIB)
    with pytest.raises(WaitingRoomFull):
        together.take("the same client", 0, 2 * MIB)
    together.take("a third", 0, SMALL_BYTES)
    together.give_back("the same client", 20 * MIB, 1.0)
    together.take("a third", 0, 20 * MIB)


def test_a_body_for_all_of_the_memory_gets_in_beside_small_ones_of_its_own_client_alone() -> None:
    together = Uploads(20 * MIB)
    together.take("alone", 0, 300)
    together.take("alone", 0, 19 * MIB)
    together.give_back("alone", 19 * MIB, 1.0)
    together.take("another", 0, 300)
    with pytest.raises(WaitingRoomFull):
        together.take("alone", 0, 19 * MIB)


def test_one_body_may_always_have_everything_if_nobody_else_wants_it() -> None:
    together = Uploads(20 * MIB)
    together.take("alone", 0, 20 * MIB)
    with pytest.raises(WaitingRoomFull):
        together.take("alone", 0, 1)
    together.give_back("alone", 20 * MIB, 1.0)
    assert together.held_bytes == 0


def test_a_body_that_says_its_length_is_refused_before_it_is_read_and_what_is_refused_holds_nothing() -> None:
    together = Uploads(64 * MIB)
    together.take("a", 0, 20 * MIB)
    upload = upload_of([b"x"], together, max_bytes=64 * MIB)
    with pytest.raises(WaitingRoomFull):
        upload.check_length(Headers({"content-length": str(20 * MIB)}))
    upload.forget()
    assert together.held_bytes == 20 * MIB
    together.give_back("a", 20 * MIB, 1.0)
    assert not together._by_client, "clients that were refused are forgotten, however many they are"


def test_when_to_come_back_is_estimated_from_how_long_bodies_are_held() -> None:
    together = Uploads(4 * MIB)
    together.take("a", 0, MIB)
    together.give_back("a", MIB, 12.0)
    take_all(together, "a")
    with pytest.raises(WaitingRoomFull, match="about 12 s") as refused:
        together.take("a", 0, 3 * MIB)
    assert refused.value.retry_after_s == 12
    assert upload_of([b"c"], together)


@pytest.mark.parametrize(("timeout_s", "words"), [(0.2, "not complete after 0.2 s"), (60.0, "send 1024 a second")])
def test_a_body_has_a_total_time_and_a_least_rate(
    monkeypatch: pytest.MonkeyPatch, timeout_s: float, words: str
) -> None:
    monkeypatch.setattr(uploads, "SLOW_START_S", 0.3)

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    upload = Upload(receive, Uploads(1000), RequestContext(), max_bytes=10**6, timeout_s=timeout_s)
    with pytest.raises(UploadStalled, match=words):
        asyncio.run(read(upload))


def test_an_upload_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_S", 0.01)

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(UploadStalled):
        asyncio.run(Upload(receive, Uploads(1000), RequestContext(), max_bytes=100, timeout_s=60.0).receive())


def test_after_the_body_the_hang_up_may_come_as_late_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PAUSE_S", 0.01)
    messages = iter([*body_of([b"a"]), {"type": "http.disconnect"}])

    async def receive() -> Message:
        message = next(messages)
        if message["type"] == "http.disconnect":
            await asyncio.sleep(0.1)
        return message

    async def scenario() -> None:
        upload = Upload(receive, Uploads(1000), RequestContext(), max_bytes=100, timeout_s=60.0)
        assert (await upload.receive())["body"] == b"a"
        assert (await upload.receive())["type"] == "http.disconnect"

    asyncio.run(scenario())
