"""The answer to a checked request, from the place in the queue to the last byte, whole or streamed.

Owns the order reserve, prepare, submit, answer, and that every way out of it gives the place back. Event loop; the
image is prepared in a thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from service.answers import Answer
from service.errors import ServiceError, Unavailable
from service.hangup import send_promptly, unless_hung_up
from service.images import ImageSource, tile
from service.messages import Delta, Finished
from service.metrics import Metrics
from service.problems import internal_problem, problem_of
from service.queue import Place, RequestQueue, RowSpec
from service.replies import Problem
from service.settings import Settings

KEEP_ALIVE = format_sse_event(comment="keep-alive")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

logger = logging.getLogger("pheye.reply")

Events = AsyncIterator[tuple[int, Delta | Finished]]


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The running service, as far as the routes need it."""

    settings: Settings
    queue: RequestQueue
    metrics: Metrics
    executor: Executor


class Reply(Response):
    """Answers one request when the framework calls it; failing before its first byte, it raises a `ServiceError`."""

    def __init__(
        self, parts: ServiceParts, answer: Answer, image: ImageSource, rows: Sequence[RowSpec], *, stream: bool
    ) -> None:
        """Nothing happens yet.

        Args:
            parts: the running service.
            answer: what to fill.
            image: what the rows ask about.
            rows: what to generate.
            stream: whether to answer with server-sent events.
        """
        super().__init__()
        self._parts = parts
        self._answer = answer
        self._image = image
        self._rows = rows
        self._stream = stream
        self._preprocess_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reserve, prepare, submit, answer; the place is free again when this ends, in whatever way."""
        with self._parts.queue.reserve(len(self._rows)) as place:
            await unless_hung_up(receive, self._run(place, scope, receive, send))

    async def _run(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        await self._submit(place)
        if self._stream:
            await self._send_stream(place.events(), scope, send)
            return
        async for index, event in place.events():
            self._answer.take(index, event)
        body = self._answer.whole(preprocess_s=self._preprocess_s, total_s=_since_arrival_s(scope))
        await JSONResponse(body)(scope, receive, send)

    async def _submit(self, place: Place) -> None:
        card = self._parts.queue.card
        if card is None:
            raise Unavailable("the model is loading")
        started_s = time.monotonic()
        pixels = self._parts.settings.max_pixels
        work = partial(tile, self._image, max_pixels=pixels, tile_px=card.tile_px, level=card.level)
        tiled = await asyncio.get_running_loop().run_in_executor(self._parts.executor, work)
        self._preprocess_s = time.monotonic() - started_s
        self._parts.metrics.preprocess_seconds.observe(self._preprocess_s)
        place.submit(tiled, self._rows)

    async def _send_stream(self, events: Events, scope: Scope, send: Send) -> None:
        first = await anext(events)  # its failure is still a plain error
        await send_promptly(send, {"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        try:
            await _send_chunk(send, self._answer.take(*first))
            async with aclosing(_with_pauses(events, self._parts.settings.keep_alive_s)) as items:
                async for item in items:
                    await (
                        _send_body(send, KEEP_ALIVE) if item is None else _send_chunk(send, self._answer.take(*item))
                    )
            end = self._answer.completed(preprocess_s=self._preprocess_s, total_s=_since_arrival_s(scope))
        except ClientDisconnect:
            raise
        except ServiceError as error:
            end = _failed(problem_of(error, scope), scope)
        except Exception:
            logger.exception("request %s failed in mid-stream", self._answer.id)
            end = _failed(internal_problem(scope), scope)
        await _send_body(send, _event(end), last=True)


def _failed(problem: Problem, scope: Scope) -> dict[str, Any]:
    scope["state"]["outcome"] = problem.status  # the status line says 200 already; the metrics shall not
    return {"error": problem.model_dump(), "completed": True}


async def _with_pauses(events: Events, keep_alive_s: float) -> AsyncGenerator[tuple[int, Delta | Finished] | None]:
    """The events, and None for every `keep_alive_s` of silence."""
    while True:
        waiting = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({waiting}, timeout=keep_alive_s))[0]:
                yield None
        finally:
            waiting.cancel()
        item = waiting.result()
        if item is None:
            return
        yield item


def _event(data: Mapping[str, Any]) -> bytes:
    return format_sse_event(data_str=json.dumps(data, ensure_ascii=False))


async def _send_chunk(send: Send, chunk: Mapping[str, Any] | None) -> None:
    if chunk is not None:
        await _send_body(send, _event(chunk))


async def _send_body(send: Send, body: bytes, *, last: bool = False) -> None:
    await send_promptly(send, {"type": "http.response.body", "body": body, "more_body": not last})


def _since_arrival_s(scope: Scope) -> float:
    return time.monotonic() - float(scope["state"]["arrived_s"])
