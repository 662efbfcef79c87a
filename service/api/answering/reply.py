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
from dataclasses import replace
from functools import partial
from typing import Protocol

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from model.pixels.tiles import TiledImage
from service.api.answering.preprocess import tiled
from service.api.answering.room import check_room
from service.api.answering.writing import in_pieces, written
from service.api.bodies.request_body import AskedImage
from service.api.connections.disconnect import send_promptly, unless_hung_up
from service.api.encoding import Body, StreamItem, json_response, server_timing, sse_event
from service.api.moondream import failure_line, is_moondream
from service.api.parts import ServiceParts
from service.api.problems import internal_problem, problem_of
from service.api.request_context import RequestContext, context_of
from service.api.request_log import texts_of, work_of
from service.dispatch.reservation import Reservation
from service.errors import ServiceError
from service.logs import request_fields
from service.messages.from_worker import Delta, Finished
from service.messages.rows import Row
from service.schemas.responses import Problem, TimingFields

PING = format_sse_event(comment="keep-alive")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

logger = logging.getLogger("pheye.reply")

Events = AsyncGenerator[tuple[int, Delta | Finished]]


class AnswerBuilder(Protocol):
    """An answer that a reply fills: it takes the rows' events and puts them into its clients' shape."""

    @property
    def id(self) -> str:
        """The id of the answer."""

    @property
    def outside(self) -> int:
        """The number of answers which say that the image is outside the model's known world."""

    @property
    def texts(self) -> Sequence[str]:
        """The text of each row so far."""

    def timings(self, *, preprocess_s: float, total_s: float) -> TimingFields:
        """Tell where the time went, when all rows have finished."""

    def look_at(self, image: TiledImage) -> None:
        """Note the image that the answer is about; called once, before any event."""

    def opening(self) -> Sequence[BaseModel]:
        """Build the events that come before the first chunk of a stream."""

    def take(self, index: int, event: Delta | Finished) -> BaseModel | None:
        """Add an event and return the chunk to stream, if it shows anything new."""

    def closing(self, *, preprocess_s: float, total_s: float) -> Sequence[Body | str]:
        """Build the events that come after the last chunk of a stream."""

    def failed(self, problem: Problem) -> Sequence[StreamItem]:
        """Build the event that ends a stream which fails in the middle."""

    def whole(self, *, preprocess_s: float, total_s: float) -> Body:
        """Build the body of an answer that is not streamed."""


class Reply(Response):
    """A response that gets its answer from the queue when the framework calls it.

    If it fails before its first byte, it raises a `ServiceError`. A stream's first bytes, its 200, are sent when its
    rows are accepted into the queue: the image is decoded, and the prompts are known to fit. Should that take longer
    than a stream may be silent, they are sent then. Whatever fails later is the last event of the stream.
    """

    def __init__(
        self,
        parts: ServiceParts,
        answer: AnswerBuilder,
        image: AskedImage,
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
        context = context_of(scope)
        with self._parts.queue.reserve(len(self._rows), context.flow, context.exemplar) as reservation:
            answering = self._send_stream if self._stream else self._send_whole
            try:
                await unless_hung_up(receive, answering(reservation, scope, receive, send))
            finally:
                self._note_work(reservation, context_of(scope))

    def _note_work(self, reservation: Reservation, context: RequestContext) -> None:
        context.work = work_of(reservation.rows, self._preprocess_s or None)
        if context.recording is not None:
            context.recording.rows, context.recording.stream = reservation.rows, self._stream
            context.recording.model = self._parts.queue.loaded().name
        if context.tell_texts:
            context.texts = texts_of([row.instruction for row in self._rows], self._answer.texts)

    async def _send_whole(self, reservation: Reservation, scope: Scope, receive: Receive, send: Send) -> None:
        reservation.hold_deltas()
        await self._submit(reservation, scope)
        async for index, told in reservation.events():
            self._answer.take(index, told)
        context = context_of(scope)
        context.outside = self._answer.outside
        took = {"preprocess_s": self._preprocess_s, "total_s": context.age_s}
        timings = server_timing(dict(self._answer.timings(**took)))
        form = partial(json_response, headers={"Server-Timing": timings})
        response = await written(self._parts.explaining, reservation, self._answer.whole(**took), form)
        await response(scope, receive, in_pieces(send))

    async def _submit(self, reservation: Reservation, scope: Scope) -> None:
        started_s = time.monotonic()
        image = await tiled(self._parts, self._image, reservation, scope)
        self._preprocess_s = time.monotonic() - started_s
        self._answer.look_at(image)
        await check_room(self._parts, self._rows, reservation, streamed=self._stream)
        context = context_of(scope)
        origin, traced = context.log_name, context.recording is not None
        reservation.submit(image, [replace(row, origin=origin, traced=traced) for row in self._rows])

    async def _send_stream(self, reservation: Reservation, scope: Scope, receive: Receive, send: Send) -> None:
        ping_s = self._parts.settings.sse_ping_s
        preparing = asyncio.ensure_future(self._submit(reservation, scope))
        try:
            if (await asyncio.wait({preparing}, timeout=ping_s))[0]:
                preparing.result()  # nothing was sent yet, so a failure here is still a plain error
            await send_promptly(send, {"type": "http.response.start", "status": 200, "headers": self._stream_headers()})
            async with aclosing(_with_pauses(_events(reservation, preparing), ping_s)) as items:
                end = await self._send_chunks(items, reservation, scope, send)
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
        await _send_body(send, b"".join(end), last=True)

    def _stream_headers(self) -> list[tuple[bytes, bytes]]:
        """Build the headers of a stream; of its timings it has what is known when it begins."""
        if not self._preprocess_s:
            return STREAM_HEADERS
        return [*STREAM_HEADERS, (b"server-timing", server_timing({"preprocess": self._preprocess_s}).encode())]

    async def _send_chunks(
        self,
        items: AsyncIterator[tuple[int, Delta | Finished] | None],
        reservation: Reservation,
        scope: Scope,
        send: Send,
    ) -> Sequence[bytes]:
        """Send what comes as it comes, and return the events that end the stream."""
        begun = False
        try:
            async for item in items:
                if item is None:
                    await _send_body(send, PING)
                    continue
                opening = [] if begun else self._answer.opening()
                begun, chunk = True, self._answer.take(*item)
                if told := b"".join(map(sse_event, [*opening, *filter(None, [chunk])])):
                    await _send_body(send, told)
            context_of(scope).outside = self._answer.outside
            ends = self._answer.closing(preprocess_s=self._preprocess_s, total_s=context_of(scope).age_s)
            return [await written(self._parts.explaining, reservation, end, sse_event) for end in ends]
        except ClientDisconnect:
            raise
        except ServiceError as error:
            return self._failed(problem_of(error, scope), scope)
        except Exception:
            name = context_of(scope).log_name
            logger.exception("request %s failed in mid-stream", name, extra=request_fields(name))
            return self._failed(internal_problem(scope), scope)

    def _failed(self, problem: Problem, scope: Scope) -> Sequence[bytes]:
        context_of(
            scope
        ).outcome = problem.status  # the status line says 200 already; metrics and log say how it really ended
        events = [failure_line(problem.detail)] if is_moondream(scope) else self._answer.failed(problem)
        return list(map(sse_event, events))


async def _events(reservation: Reservation, preparing: asyncio.Future[None]) -> Events:
    """Yield the events of a reservation whose rows may still have to be submitted."""
    if not preparing.done():
        await reservation.prepared(preparing)
    async with aclosing(reservation.events()) as events:
        async for event in events:
            yield event


async def _with_pauses(events: Events, ping_s: float) -> AsyncGenerator[tuple[int, Delta | Finished] | None]:
    """Yield the events, and None for every `ping_s` of silence."""
    while True:
        waiting = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({waiting}, timeout=ping_s))[0]:
                yield None
        finally:
            waiting.cancel()
        item = waiting.result()
        if item is None:
            return
        yield item


async def _send_body(send: Send, body: bytes, *, last: bool = False) -> None:
    async def promptly(message: Message) -> None:
        await send_promptly(send, message)

    await in_pieces(promptly)({"type": "http.response.body", "body": body, "more_body": not last})
