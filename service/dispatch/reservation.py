"""A client's reservation: room in the queue for its rows, the events that come back, and its deadline.

Owns no workers. A `Reservation` is used by one task of the event loop; leaving it cancels whatever is unfinished, so a
client that hangs up needs no code of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self

from model.pixels.tiles import TiledImage
from service.dispatch.history import RowHistory
from service.dispatch.poison import PoisonTracker
from service.dispatch.row_wait import RowWait
from service.errors import DeadlineExceeded, ServiceError
from service.messages.from_worker import Delta, Finished
from service.messages.rows import Flow, Row


@dataclass(slots=True, eq=False)
class AcceptedRow:
    """A row in the queue, with everything needed to replay it should its worker die."""

    row: Row
    image: TiledImage
    reservation: Reservation
    index: int
    tokens: list[int] = field(default_factory=list)
    poison: PoisonTracker = field(default_factory=PoisonTracker)
    started: bool = False  # its worker has begun it, so it may be why the worker dies
    admitted: bool = False
    first_token_s: float | None = None
    last_token_s: float = 0.0
    queue_s: float | None = None  # until it was admitted first, less the encoding of its image
    wait: RowWait = field(default_factory=RowWait)
    end: Finished | None = None
    failure: ServiceError | None = None
    history: RowHistory | None = field(init=False)  # of a traced one

    def __post_init__(self) -> None:
        """Begin the history of a row that is traced."""
        self.history = RowHistory() if self.row.traced else None

    @property
    def id(self) -> str:
        """The id of the row."""
        return self.row.id

    @property
    def quarantined(self) -> bool:
        """True while it must be worked on alone, until it is past the place where two workers died."""
        return self.poison.quarantined(len(self.tokens))

    def lost_worker(self) -> None:
        """Note that its worker died; another may have it, unless it is proven to be a poison request."""
        if self.started:
            self.poison.worker_died(len(self.tokens))
        self.started = self.admitted = False
        self.wait.worker_died()
        if self.history is not None:
            self.history.worker_died(len(self.tokens))

    def replay(self) -> Row:
        """Build the row for the worker that gets it: generation goes on behind what the client already has."""
        return replace(self.row, given=tuple(self.tokens))

    def given(self) -> None:
        """Note that a worker has it now, so that the time without one counts as waiting."""
        self.wait.given()
        if self.history is not None:
            self.history.given()

    def record(self, event: Delta) -> None:
        """Remember tokens that are about to reach the client."""
        now = time.monotonic()
        self.first_token_s = self.first_token_s or now
        self.last_token_s = now
        self.tokens.extend(event.tokens)


class WaitingQueue(Protocol):
    """The part of the queue that a reservation needs to know."""

    def accept(self, reservation: Reservation, image: TiledImage, rows: Sequence[Row]) -> None:
        """Take a reservation's rows."""

    def leave(self, reservation: Reservation) -> None:
        """Forget a reservation, and cancel what is unfinished of it."""

    def count_drop(self, reason: str) -> None:
        """Count a request that will not get its answer."""


class Reservation:
    """Reserved room for some rows, held from before their image is decoded until they are answered."""

    def __init__(
        self,
        queue: WaitingQueue,
        rows: int,
        deadline_s: float,
        flow: Flow | None = None,
        exemplar: dict[str, str] | None = None,
    ) -> None:
        self._queue = queue
        self._events: asyncio.Queue[tuple[int, Delta | Finished | ServiceError]] = asyncio.Queue()
        self._gave_up = asyncio.Event()
        self._deadline_s = deadline_s
        self._held: list[tuple[int, Delta]] | None = None
        self.reserved = rows
        self.flow = flow or Flow()
        self.exemplar = exemplar
        self.entered_s = time.monotonic()
        self.rows: list[AcceptedRow] = []

    @property
    def waiting(self) -> int:
        """The rows that hold no slot, or will be once their image is decoded."""
        return sum(not row.admitted for row in self.rows) if self.rows else self.reserved

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.leave(self)

    def submit(self, image: TiledImage, rows: Sequence[Row]) -> None:
        """Hand the rows over; they were accepted when the reservation was made."""
        self._queue.accept(self, image, rows)

    def put(self, index: int, event: Delta | Finished | ServiceError) -> None:
        """Take an event for one of the rows, from the queue."""
        if isinstance(event, ServiceError) and index < len(self.rows):
            self.rows[index].failure = event
        if self._held is not None and isinstance(event, Delta):
            self._held.append((index, event))
            return
        self._release_held()
        self._events.put_nowait((index, event))

    def hold_deltas(self) -> None:
        """Keep tokens back until a row has finished, for a client that wants whole answers: one wake-up for all."""
        self._held = []

    def _release_held(self) -> None:
        if self._held:
            for held in self._held:
                self._events.put_nowait(held)
            self._held.clear()

    async def events(self) -> AsyncGenerator[tuple[int, Delta | Finished]]:
        """Yield the events of all rows with the row's index, until every row has finished.

        Raises:
            ServiceError: a row failed, was refused, or the deadline passed.
        """
        unfinished = len(self.rows) or 1  # without rows only a failure can come
        while unfinished:
            index, event = await self._next()
            if isinstance(event, ServiceError):
                raise event
            unfinished -= isinstance(event, Finished)
            yield index, event

    def give_up(self, error: ServiceError) -> None:
        """End the wait for a reservation's answer, whatever it waits for."""
        self._events.put_nowait((0, error))
        self._gave_up.set()

    async def prepared(self, work: asyncio.Future[None]) -> None:
        """Wait for the work at whose end the rows are submitted, or for the service to give up.

        Raises:
            ServiceError: the work failed. That the service gave up is among the events.
        """
        gave_up = asyncio.ensure_future(self._gave_up.wait())
        either: set[asyncio.Future[Any]] = {work, gave_up}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gave_up.cancel()
        if work.done():
            work.result()

    @property
    def left_s(self) -> float:
        """The seconds until the deadline; negative behind it."""
        return self.entered_s + self._deadline_s - time.monotonic()

    def expired(self) -> DeadlineExceeded:
        """Count that the deadline has passed, and build the error that says so."""
        self._queue.count_drop("deadline")
        return DeadlineExceeded(f"no complete answer within {self._deadline_s:g} s")

    async def _next(self) -> tuple[int, Delta | Finished | ServiceError]:
        left_s = self.left_s
        try:
            if left_s <= 0:  # a timeout would not end a queue that is never empty
                raise TimeoutError
            if not self._events.empty():
                return self._events.get_nowait()
            # Not `wait_for`: in Python 3.11 it drops a cancellation that comes together with an event, and a client
            # that hung up would be worked for to the end.
            async with asyncio.timeout(left_s):
                return await self._events.get()
        except TimeoutError:
            raise self.expired() from None
