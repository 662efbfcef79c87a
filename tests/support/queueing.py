"""A queue with real worker processes, and small questions to ask it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from PIL import Image

from model.pixels.tiles import TiledImage, prepare
from model.request import Sampling
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.dispatch.reservation import AcceptedRow
from service.messages.from_worker import Delta
from service.messages.rows import Row
from service.metrics.service_metrics import Metrics
from tests.support.golden import OWN_GOLDEN

FOLDER = OWN_GOLDEN / "x2-l2"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
# Golden answers end soon; the random model's go on, and one can be in the middle of them when something happens.
RAMBLING = "random:pheye-micro"
LONG = {"max_tokens": 250}


def image(name: str, tile_px: int) -> TiledImage:
    with Image.open(FOLDER / name) as opened:
        return prepare(opened, tile_px, 2)


IMAGES = {(case["image"], tile_px): image(case["image"], tile_px) for case in CASES for tile_px in (28, 64)}


def spec(case: dict[str, Any], **sampling: Any) -> Row:
    return Row(uuid4().hex, case["question"], Sampling(**({"max_tokens": 24} | sampling)))


@asynccontextmanager
async def running_queue(**settings: Any) -> AsyncIterator[RequestQueue]:
    queue = RequestQueue(Settings(**({"model": str(FOLDER), "threads": 1} | settings)), Metrics())
    await queue.start()
    try:
        await until(lambda: queue.not_ready() is None)
        yield queue
    finally:
        await queue.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - polls what another process does
            await asyncio.sleep(0.01)


async def answer(queue: RequestQueue, case: dict[str, Any], asked: Row, started: list[int] | None = None) -> str:
    text = ""
    with queue.reserve(1) as reservation:
        assert queue.card is not None
        reservation.submit(IMAGES[case["image"], queue.card.tile_px], [asked])
        async for _, event in reservation.events():
            text += event.text
            if started is not None and isinstance(event, Delta):
                started.append(1)
    return text


def value(queue: RequestQueue, name: str, **labels: str) -> float:
    queue._metrics.refresh()
    [family] = getattr(queue._metrics, name).collect()
    return sum(sample.value for sample in family.samples if labels.items() <= sample.labels.items())


def pid(queue: RequestQueue) -> int:
    found = queue.workers.supervisors[0].pid
    assert found is not None
    return found


def rows(queue: RequestQueue) -> list[AcceptedRow]:
    """Everything that is with a worker."""
    return list(queue.workers.rows)


def kill(queue: RequestQueue) -> None:
    os.kill(pid(queue), signal.SIGKILL)


def go(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario(), debug=False)
