"""Clients that ask for captions of uploaded images, all at once, so that no image is decoded while they are timed.

Knows the service's routes. Event loop, one for each call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import httpx
import numpy as np
from PIL import Image

SIZE_PX, DETAIL_PX = (640, 480), 8
SILENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class ClientReply:
    """The reply to one request of a client.

    Attributes:
        status: of the response; 0 if the connection broke.
        text: of the caption.
        asked_s, ended_s: on the monotonic clock.
    """

    status: int
    text: str
    asked_s: float
    ended_s: float


def picture(number: int) -> bytes:
    """Draw a JPEG of blurred, coloured noise that only this number has."""
    grid = (SIZE_PX[1] // DETAIL_PX, SIZE_PX[0] // DETAIL_PX, 3)
    coarse = Image.fromarray(np.random.default_rng(number).integers(256, size=grid, dtype=np.uint8))
    file = BytesIO()
    coarse.resize(SIZE_PX, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def upload(url: str, images: int) -> list[str]:
    """Upload a number of images, ask about each once, and return their ids.

    Raises:
        httpx.HTTPError: an image was refused.
    """
    with httpx.Client(base_url=url, timeout=SILENCE_S, trust_env=False) as client:
        ids = []
        for number in range(images):
            headers = {"content-type": "image/jpeg"}
            told = client.post("/v1/images", content=picture(number), headers=headers).raise_for_status()
            ids.append(str(told.json()["id"]))
    return ids


def captions(
    url: str, ids: Sequence[str], clients: int, max_tokens: int, meanwhile: Callable[[], None] | None = None
) -> list[ClientReply]:
    """Ask for a caption of every image, with a number of clients at a time; `meanwhile` runs once all have asked."""
    return asyncio.run(_captions(url, ids, clients, max_tokens, meanwhile))


async def _captions(
    url: str, ids: Sequence[str], clients: int, max_tokens: int, meanwhile: Callable[[], None] | None
) -> list[ClientReply]:
    waiting = iter(enumerate(ids))
    replies: dict[int, ClientReply] = {}
    limits = httpx.Limits(max_connections=clients, keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=url, timeout=SILENCE_S, limits=limits, trust_env=False) as http:

        async def client() -> None:
            for number, image in waiting:
                replies[number] = await _caption(http, image, max_tokens)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
            if meanwhile is not None:
                await asyncio.sleep(0.1)  # the requests are on their way
                await asyncio.to_thread(meanwhile)
    return [replies[number] for number in sorted(replies)]


async def _caption(http: httpx.AsyncClient, image: str, max_tokens: int) -> ClientReply:
    asked_s = time.monotonic()
    try:
        told = await http.post("/v1/caption", json={"image_url": image, "settings": {"max_tokens": max_tokens}})
    except httpx.HTTPError as error:
        return ClientReply(0, f"{type(error).__name__}: {error}", asked_s, time.monotonic())
    text = told.json()["caption"] if told.status_code == httpx.codes.OK else told.text[:200]
    return ClientReply(told.status_code, text, asked_s, time.monotonic())
