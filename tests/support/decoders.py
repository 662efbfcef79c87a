"""A pool of decoders for a test, images that take it long, and what becomes of it under fire."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from service.configuration.settings import Settings
from service.decoding.pool import DecoderPool
from service.errors import ServiceError
from service.images import ImageSource
from service.metrics.service_metrics import Metrics
from tests.support.hostile import scan_bomb

TILE_PX, LEVEL = 16, 2


@asynccontextmanager
async def running_pool(limits: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[DecoderPool]:
    """A pool with these settings, and with these of its limits changed."""
    pool = DecoderPool(Settings(**settings), Metrics())
    pool._limits = replace(pool._limits, **limits or {})
    pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def decode(pool: DecoderPool, file: bytes, client: str = "") -> asyncio.Task[Any]:
    return asyncio.create_task(pool.decode(ImageSource(file), tile_px=TILE_PX, level=LEVEL, client=client))


def killed(pool: DecoderPool, reason: str) -> float:
    return pool._metrics.decoders_killed.labels(reason)._value.get()


@lru_cache
def slow_file() -> bytes:
    """As many scans as are read, over so many pixels that a decoder works for a long time."""
    return scan_bomb(6000, 128)


async def until(condition: Any, seconds: float = 20.0) -> None:
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "not so in time"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """True while the process exists, and is more than a zombie that its parent has not looked at yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def decoder_kills(pool: DecoderPool, file: bytes, kills: int, clients: int, seed: int = 1) -> Counter[str]:
    """Keep so many clients decoding while decoders are killed; tells how the decodes ended.

    Returns:
        How many gave the image, were refused, or failed otherwise.
    """
    outcomes: Counter[str] = Counter()
    over = asyncio.Event()

    async def ask(name: str) -> None:
        while not over.is_set():
            try:
                await asyncio.wait_for(pool.decode(ImageSource(file), tile_px=TILE_PX, level=LEVEL, client=name), 60)
                outcomes["image"] += 1
            except ServiceError:
                outcomes["refused"] += 1
            except Exception as error:
                outcomes[type(error).__name__] += 1

    asking = [asyncio.create_task(ask(f"client-{index}")) for index in range(clients)]
    chance = random.Random(seed)
    for _ in range(kills):
        await until(lambda: pool.pids)
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pool.pids), signal.SIGKILL)
        await asyncio.sleep(chance.uniform(0.0, 0.06))
    over.set()
    await asyncio.wait_for(asyncio.gather(*asking), 120)
    return outcomes
