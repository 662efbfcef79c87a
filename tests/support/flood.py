"""A flood of requests by one client, and what another client notices of it, as numbers.

Speaks HTTP/1.1 over sockets of its own, because a client library would need more of the processor than the server.
Run it on a server that runs: `python -m tests.support.flood URL`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from typing import Any

from PIL import Image

GREEDY = "greedy-key"  # the keys with which the clients come, if the server asks for keys
OTHER = "other-key"
LONG = {"length": "long", "settings": {"max_tokens": 256, "temperature": 1.0}}
SHORT = {"question": "What is in the picture?", "settings": {"max_tokens": 16}}


@dataclass
class Answers:
    """What came of a client's requests: statuses, and when those that were answered began and ended."""

    statuses: Counter[int] = field(default_factory=Counter)
    spans_s: list[tuple[float, float]] = field(default_factory=list)

    def add(self, status: int, begun_s: float) -> None:
        """Count the answer that has come now to the request of this time of the monotonic clock."""
        self.statuses[status] += 1
        if status == 200:
            self.spans_s.append((begun_s, time.monotonic()))

    @property
    def seconds(self) -> list[float]:
        """What each answer took."""
        return [ended_s - begun_s for begun_s, ended_s in self.spans_s]

    def quantile(self, share: float) -> float:
        """The seconds within which this share of the answers came."""
        return sorted(self.seconds)[max(0, math.ceil(share * len(self.seconds)) - 1)]

    @property
    def refused(self) -> int:
        return sum(self.statuses.values()) - self.statuses[200]


@dataclass
class Flood:
    """What happened: the other client's answers without and with the flood, and the greedy client's."""

    calm: Answers
    flooded: Answers
    greedy: Answers

    @property
    def ratio(self) -> float:
        """How many times longer the other client's slowest hundredth takes under the flood."""
        return self.flooded.quantile(0.99) / self.calm.quantile(0.99)

    @property
    def served_before(self) -> int:
        """The most answers that the greedy client got while one request of the other client waited for its own."""
        return max(
            sum(begun_s < ended_s < own_end_s for _, ended_s in self.greedy.spans_s)
            for begun_s, own_end_s in self.flooded.spans_s
        )


class Connection:
    """One kept connection to a server."""

    def __init__(self, url: str, key: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port, self._key = int(port), key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> int:
        """Send a JSON body and return the status of the whole answer."""
        reader, writer = self._streams = self._streams or await asyncio.open_connection(self._host, self._port)
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        if "connection: close" in answer:
            self.close()
        return int(answer.split(" ", 2)[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def picture(number: int) -> str:
    """A small picture that only this number has, as a data URI."""
    drawn = Image.effect_mandelbrot((192, 128), (-2 + number / 1e5, -1.5, 1, 1.5), 60).convert("RGB")
    file = BytesIO()
    drawn.save(file, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def bodies(fields: dict[str, Any], *, distinct: bool, first: int, pictures: int) -> Callable[[], bytes]:
    """A function that makes one body after the other, each about a picture of its own or all about the same."""
    if not distinct:
        same = json.dumps({"image_url": picture(0), **fields}).encode()
        return lambda: same
    ready = [json.dumps({"image_url": picture(first + number), **fields}).encode() for number in range(pictures)]
    turn = count()
    return lambda: ready[next(turn) % len(ready)]


async def steadily(url: str, seconds: float, rate: float, body: Callable[[], bytes]) -> Answers:
    """Ask at a constant rate, whether or not the answers come: an open loop."""
    answers = Answers()

    async def ask() -> None:
        connection, begun = Connection(url, OTHER), time.monotonic()
        answers.add(await connection.post("/v1/vqa", body()), begun)
        connection.close()

    async with asyncio.TaskGroup() as group:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            group.create_task(ask())
            await asyncio.sleep(1 / rate)
    return answers


async def greedily(url: str, answers: Answers, body: Callable[[], bytes], *, pause_s: float) -> None:
    """Ask without end, again at once after a refusal: one of a flood's connections."""
    connection = Connection(url, GREEDY)
    try:
        while True:
            begun = time.monotonic()
            try:
                status = await connection.post("/v1/caption", body())
            except (OSError, asyncio.IncompleteReadError):
                connection.close()
                status = 0
            answers.add(status, begun)
            if status != 200:
                await asyncio.sleep(pause_s)
    finally:
        connection.close()


async def flood(
    url: str,
    *,
    in_flight: int = 64,
    seconds: float = 60.0,
    rate: float = 1.0,
    distinct: bool = False,
    pause_s: float = 0.0,
    pictures: int = 600,
    settle_s: float = 3.0,
) -> Flood:
    """Measure the other client alone, then beside a flood of long captions by the greedy one.

    Args:
        url: of a server that accepts both keys, or none.
        in_flight: connections of the greedy client, each with a request on its way at any time.
        seconds: for which the other client asks, each time.
        rate: of its requests, a second.
        distinct: whether every request is about an image of its own.
        pause_s: for which the greedy client waits after a refusal.
        pictures: how many different ones each client has; more than it sends requests, or it will send them again.
        settle_s: from the beginning of the flood to the other client's first request.
    """
    short = bodies(SHORT, distinct=distinct, first=0, pictures=pictures)
    long = bodies(LONG, distinct=distinct, first=10 * pictures, pictures=pictures)
    await steadily(url, 1.0, 5.0, short)  # what is slow once only
    calm, greedy = await steadily(url, seconds, rate, short), Answers()
    crowd = [asyncio.create_task(greedily(url, greedy, long, pause_s=pause_s)) for _ in range(in_flight)]
    try:
        await asyncio.sleep(settle_s)  # until slots and waiting room are full
        flooded = await steadily(url, seconds, rate, short)
    finally:
        for each in crowd:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*crowd, return_exceptions=True)
    return Flood(calm, flooded, greedy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    asked = parser.parse_args()
    seen = asyncio.run(
        flood(
            asked.url, in_flight=asked.in_flight, seconds=asked.seconds, rate=asked.rate, distinct=asked.distinct,
            pause_s=asked.pause,
        )
    )  # fmt: skip
    for name, answers in (("calm", seen.calm), ("flooded", seen.flooded), ("greedy", seen.greedy)):
        times = [
            f"p{int(100 * share)} {answers.quantile(share):.3f} s" for share in (0.5, 0.9, 0.99) if answers.seconds
        ]
        print(f"{name:8}", dict(answers.statuses), *times)  # noqa: T201
    print(f"ratio of the p99: {seen.ratio:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
