"""Frames of a sequence asked about one after another, and what each cost the vision encoder. Event loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import httpx

from loadtest.client import SHOWN_CHARS, is_count, is_finite, json_object, open_http
from loadtest.servers import Server, ServerError

CACHE_BYTES = "pheye_feature_cache_bytes"


@dataclass(frozen=True, slots=True)
class FrameCost:
    """Cost of the answer about one frame.

    Attributes:
        tiles: of the image.
        encoded: those that had to be encoded.
        encode_s: of the vision encoder.
        total_s: from the request to its answer, as the client sees it.
        cache_bytes: by which the feature cache grew; 0 or less when it is full.
    """

    tiles: int
    encoded: int
    encode_s: float
    total_s: float
    cache_bytes: float


@dataclass(frozen=True, slots=True)
class SequenceCost:
    """Cost of the frames of a sequence without the first, before which nothing was known.

    Attributes:
        name: of the sequence.
        frames: how many.
        tiles: of a frame.
        encoded: mean number of tiles that had to be encoded.
        encode_s: median.
        total_s: median.
        cache_bytes: mean.
    """

    name: str
    frames: int
    tiles: int
    encoded: float
    encode_s: float
    total_s: float
    cache_bytes: float


async def ask_about(server: Server, frames: Iterable[bytes], max_tokens: int) -> list[FrameCost]:
    """Caption frames one after another.

    Raises:
        ServerError: the server does not answer, or not with what a Pheye server of this version says.
    """
    costs = []
    async with open_http(server.url, 1, key=server.key) as http:
        for frame in frames:
            before = await server.metric(CACHE_BYTES) or 0.0
            started_s = time.monotonic()
            answer = await _caption(server, http, frame, max_tokens)
            total_s = time.monotonic() - started_s
            grown = (await server.metric(CACHE_BYTES) or 0.0) - before
            try:
                usage, encode_s = answer["usage"], answer["timings"]["encode"]
                tiles, cached = usage["image_tiles"], usage["image_tiles_cached"]
            except (KeyError, TypeError):
                raise ServerError(f"{server.name}: an answer does not tell how many tiles were cached") from None
            if not (is_count(tiles) and is_count(cached) and is_finite(encode_s)):
                raise ServerError(f"{server.name}: an answer has no numbers of tiles or seconds")
            costs.append(FrameCost(tiles, tiles - cached, encode_s, total_s, grown))
    return costs


def sum_up(name: str, frames: Sequence[FrameCost]) -> SequenceCost:
    """Sum a sequence of two or more frames up."""
    later = frames[1:]
    return SequenceCost(
        name,
        len(frames),
        frames[0].tiles,
        mean(frame.encoded for frame in later),
        median(frame.encode_s for frame in later),
        median(frame.total_s for frame in later),
        mean(frame.cache_bytes for frame in later),
    )


async def _caption(server: Server, http: httpx.AsyncClient, frame: bytes, max_tokens: int) -> dict[str, Any]:
    try:
        response = await http.post("/v1/caption", files={"image": frame}, data={"max_tokens": str(max_tokens)})
    except httpx.RequestError as error:
        raise ServerError(f"{server.name}: no answer from {server.shown_url}: {error}") from None
    if response.status_code != httpx.codes.OK:
        raise ServerError(f"{server.name}: {response.status_code}: {response.text[:SHOWN_CHARS]}")
    try:
        return json_object(response.text)
    except (ValueError, RecursionError):
        raise ServerError(f"{server.name}: an answer is no JSON object") from None
