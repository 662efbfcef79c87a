"""A load test reads no more of a server than one has to say, and waits for no head or body that drips."""

from __future__ import annotations

import asyncio
import gzip

import httpx
import pytest

from loadtest.bounded import BoundedTransport
from tests.support.hostile_web import Handler, again_and_again, answer, hostile_web

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
DRIPPING_HEAD = again_and_again(b"HTTP/1.1 200 OK\r\nX-Head: ", b"x", 0.02)
DRIPPING_BODY = again_and_again(HEAD, b"x", 0.02)


def read(said: bytes | Handler, head_s: float = 30.0, most_s: float = 30.0) -> bytes:
    async def ask(url: str) -> bytes:
        transport = BoundedTransport(httpx.Limits(), head_s, most_bytes=1000, most_s=most_s)
        async with httpx.AsyncClient(transport=transport, base_url=url, timeout=30.0) as client:
            return (await client.post("/v1/caption", content=b"image")).content

    with hostile_web({"/v1/caption": said}) as web:
        return asyncio.run(ask(web.url("")))


def test_an_ordinary_answer_is_read() -> None:
    assert read(answer(b"{}" * 500)) == b"{}" * 500


@pytest.mark.parametrize(
    ("said", "bounds", "words"),
    [
        pytest.param(again_and_again(HEAD, b"[" * 4096), {}, "more than 1000 bytes", id="endless"),
        pytest.param(DRIPPING_HEAD, {"head_s": 0.2}, "the head did not end within 0.2 s", id="a head that drips"),
        pytest.param(DRIPPING_BODY, {"most_s": 0.2}, "did not end within 0.2 s", id="a body that drips"),
        pytest.param(answer(gzip.compress(b"["), "Content-Encoding: gzip"), {}, "it is compressed", id="compressed"),
    ],
)
def test_an_answer_out_of_bounds_is_given_up(said: bytes | Handler, bounds: dict[str, float], words: str) -> None:
    with pytest.raises(httpx.RequestError, match=words):
        read(said, **bounds)
