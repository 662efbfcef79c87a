"""Replies to checked requests, from the reservation in the queue to the last byte, whole or streamed (SSE).

Owns the order reserve, prepare, submit, answer, and that every way out of it ends the reservation. Event loop; the
image is decoded in another process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model.tiles import TiledImage
from service.api.connections.disconnect import send_promptly, unless_hung_up
from service.api.encoding import StreamItem, json_response, sse_event
from service.api.image_store import owned_by
from service.api.parts import ServiceParts
from service.api.problems import internal_problem, problem_of
from service.api.request_context import context_of
from service.dispatch.reservation import Reservation
from service.errors import ServiceError
from service.images import ImageSource
from service.messages import Delta, Finished, Row
from service.schemas.responses import Problem

KEEP_ALIVE = format_sse_event(comment="keep-alive")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

logger = logging.getLogger("pheye.reply")

Events = AsyncIterator[tuple[int, Delta | Finished]]


class AnswerBuilder(Protocol):
    """An answer that a reply fills: it takes the rows' events and puts them into its clients' shape."""

    @property
    def id(self) -> str:
        """The id of the answer."""

    def look_at(self, image: TiledImage) -> None:
        """Note the image that the answer is about; called once, before any event."""

    def opening(self) -> Sequence[StreamItem]:
        """Build the events that come before the first chunk of a stream."""

    def take(self, index: int, event: Delta | Finished) -> BaseModel | None:
        """Add an event and return the chunk to stream, if it shows anything new."""

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[StreamItem]:
        """Build the events that come after the last chunk of a stream."""

    def failed(self, problem: Problem) -> Sequence[StreamItem]:
        """Build the event that ends a stream which fails in the middle."""

    def whole(self, *, preprocess_s: float, total_s: float) -> BaseModel:
        """Build the body of an answer that is not streamed."""


async def tiled(
    parts: ServiceParts, image: ImageSource | TiledImage, reservation: Reservation, scope: Scope
) -> TiledImage:
    """Make an image ready for the model, decoded in a process of its own unless it was stored before.

    It gets the key under which its owner alone finds its features, unless all owners share them.

    Raises:
        ServiceError: the model is loading, the reservation's time is over, or as `DecoderPool.decode` says.
    """
    card = parts.queue.loaded()
    if isinstance(image, TiledImage):
        return image
    started_s = time.monotonic()
    context = context_of(scope)
    try:
        async with asyncio.timeout(reservation.left_s):
            done = await parts.decoders.decode(image, tile_px=card.tile_px, level=card.level, client=context.client)
    except TimeoutError:
        raise reservation.expired() from None
    parts.metrics.preprocess_seconds.observe(time.monotonic() - started_s)
    return done if parts.settings.share_image_features else owned_by(context.owner, done)


class Reply(Response):
    """A response that gets its answer from the queue when the framework calls it.

    If it fails before its first byte, it raises a `ServiceError`.
    """

    def __init__(
        self,
        parts: ServiceParts,
        answer: AnswerBuilder,
        image: ImageSource | TiledImage,
        rows: Sequence[Row],
        *,
        stream: bool,
    ) -> None:
        """Note what is to be answered; nothing happens before the framework calls.

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
        """Reserve, prepare, submit, answer; the reservation ends when this does, in whatever way."""
        with self._parts.queue.reserve(len(self._rows), context_of(scope).flow) as reservation:
            await unless_hung_up(receive, self._run(reservation, scope, receive, send))

    async def _run(self, reservation: Reservation, scope: Scope, receive: Receive, send: Send) -> None:
        await self._submit(reservation, scope)
        if self._stream:
            await self._send_stream(reservation.events(), scope, send)
            return
        async for index, told in reservation.events():
            self._answer.take(index, told)
        body = self._answer.whole(preprocess_s=self._preprocess_s, total_s=context_of(scope).age_s)
        await json_response(body)(scope, receive, send)

    async def _submit(self, reservation: Reservation, scope: Scope) -> None:
        started_s = time.monotonic()
        image = await tiled(self._parts, self._image, reservation, scope)
        self._preprocess_s = time.monotonic() - started_s
        self._answer.look_at(image)
        reservation.submit(image, self._rows)

    async def _send_stream(self, events: Events, scope: Scope, send: Send) -> None:
        first = await anext(events)  # nothing was sent yet, so a failure here is still a plain error
        await send_promptly(send, {"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        try:
            for opening in self._answer.opening():
                await _send_body(send, sse_event(opening))
            await _send_chunk(send, self._answer.take(*first))
            async with aclosing(_with_pauses(events, self._parts.settings.keep_alive_s)) as items:
                async for item in items:
                    await (
                        _send_body(send, KEEP_ALIVE) if item is None else _send_chunk(send, self._answer.take(*item))
                    )
            end = self._answer.closing(preprocess_s=self._preprocess_s, total_s=context_of(scope).age_s)
        except ClientDisconnect:
            raise
        except ServiceError as error:
            end = self._failed(problem_of(error, scope), scope)
        except Exception:
            logger.exception("request %s failed in mid-stream", self._answer.id)
            end = self._failed(internal_problem(scope), scope)
        await _send_body(send, b"".join(map(sse_event, end)), last=True)

    def _failed(self, problem: Problem, scope: Scope) -> Sequence[StreamItem]:
        context_of(
            scope
        ).outcome = problem.status  # the status line says 200 already; metrics and log say how it really ended
        return self._answer.failed(problem)


async def _with_pauses(events: Events, keep_alive_s: float) -> AsyncGenerator[tuple[int, Delta | Finished] | None]:
    """Yield the events, and None for every `keep_alive_s` of silence."""
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


async def _send_chunk(send: Send, chunk: BaseModel | None) -> None:
    if chunk is not None:
        await _send_body(send, sse_event(chunk))


async def _send_body(send: Send, body: bytes, *, last: bool = False) -> None:
    await send_promptly(send, {"type": "http.response.body", "body": body, "more_body": not last})
