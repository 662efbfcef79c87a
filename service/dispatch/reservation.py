"""One client's place in the queue: its rows, the events that come back for them, and its deadline.

Owns no workers. A `Place` is used by one task of the event loop; leaving it cancels whatever is unfinished, so a client
that hangs up needs no code of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from model.request import Sampling
from model.tiles import TiledImage
from service.dispatch.poison import PoisonTracker
from service.errors import DeadlineExceeded, ServiceError
from service.messages import Delta, Finished, Row


@dataclass(frozen=True, slots=True)
class RowSpec:
    """What a client asks of one image; `may_shorten` and `explain` as in `service.messages.Row`."""

    instruction: str
    sampling: Sampling
    may_shorten: bool = False
    explain: bool = False

    def row(self, row_id: str) -> Row:
        """The same as a row for a worker."""
        return Row(row_id, self.instruction, self.sampling, may_shorten=self.may_shorten, explain=self.explain)


@dataclass(slots=True, eq=False)
class Request:
    """One accepted row, with everything needed to give it to another worker should its own die."""

    row: Row
    image: TiledImage
    place: Place
    index: int
    tokens: list[int] = field(default_factory=list)
    suspicion: PoisonTracker = field(default_factory=PoisonTracker)
    started: bool = False  # its worker works on it: it may be what kills the worker
    admitted: bool = False
    first_token_s: float | None = None
    last_token_s: float = 0.0

    @property
    def on_trial(self) -> bool:
        """Whether it must be worked on alone, until it is past the place where two workers died."""
        return self.suspicion.on_trial(len(self.tokens))

    def lost_worker(self) -> None:
        """Its worker died; another may have it, unless it is proven to be what workers die of."""
        if self.started:
            self.suspicion.worker_died(len(self.tokens))
        self.started = self.admitted = False

    def replay(self) -> Row:
        """The row as a new worker must get it: generation goes on behind what the client already has."""
        return replace(self.row, given=tuple(self.tokens))

    def record(self, event: Delta) -> None:
        """Remember tokens that are about to reach the client."""
        now = time.monotonic()
        self.first_token_s = self.first_token_s or now
        self.last_token_s = now
        self.tokens.extend(event.tokens)


class WaitingRoom(Protocol):
    """The queue, as far as a place in it needs to know it."""

    def accept(self, place: Place, image: TiledImage, rows: Sequence[RowSpec]) -> None:
        """Take a place's rows."""

    def leave(self, place: Place) -> None:
        """Forget a place, and cancel what is unfinished of it."""

    def count_drop(self, reason: str) -> None:
        """Count a request that will not get its answer."""


class Place:
    """Room for some rows, held from before their image is decoded until they are answered."""

    def __init__(self, queue: WaitingRoom, rows: int, deadline_s: float) -> None:
        self._queue = queue
        self._events: asyncio.Queue[tuple[int, Delta | Finished | ServiceError]] = asyncio.Queue()
        self._deadline_s = deadline_s
        self.reserved = rows
        self.entered_s = time.monotonic()
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.leave(self)

    def submit(self, image: TiledImage, rows: Sequence[RowSpec]) -> None:
        """Hand the rows over; they were accepted when the place was given."""
        self._queue.accept(self, image, rows)

    def put(self, index: int, event: Delta | Finished | ServiceError) -> None:
        """An event for one of the rows, from the queue."""
        self._events.put_nowait((index, event))

    async def events(self) -> AsyncIterator[tuple[int, Delta | Finished]]:
        """Events of all rows with the row's index, until every row has finished.

        Raises:
            ServiceError: a row failed, was refused, or the deadline passed.
        """
        unfinished = len(self.requests)
        while unfinished:
            index, event = await self._next()
            if isinstance(event, ServiceError):
                raise event
            unfinished -= isinstance(event, Finished)
            yield index, event

    async def _next(self) -> tuple[int, Delta | Finished | ServiceError]:
        left_s = self.entered_s + self._deadline_s - time.monotonic()
        try:
            if left_s <= 0:  # a timeout would not end a queue that is never empty
                raise TimeoutError
            # Not `wait_for`: in Python 3.11 it drops a cancellation that comes together with an event, and a client
            # that hung up would be worked for to the end.
            async with asyncio.timeout(left_s):
                return await self._events.get()
        except TimeoutError:
            self._queue.count_drop("deadline")
            raise DeadlineExceeded(f"no complete answer within {self._deadline_s:g} s") from None
