"""The edge's side of an engine that runs in replicas of Ray Serve: rows go out, their events come back, losses return.

Stands in for the supervisor of a worker process. Ray chooses the replica, starts and ends replicas; what a dead one had
goes back to the queue, which replays it as if a worker of its own had died. Imports no Ray: it gets a handle. Event
loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.pixels.tiles import TiledImage
from service.dispatch.reservation import AcceptedRow
from service.dispatch.workers.supervisor import WorkerSupervisor
from service.messages.from_worker import FromWorker, ModelCard, Started, StepDone, StepReport
from service.messages.rows import name_requests
from service.messages.to_worker import Forget, Prefetch, Submit

ASK_S = 1.0  # how often the replicas are asked how they are
PATIENCE_S = 10.0  # for their answers
RETRY_S = 0.5  # after a replica was lost before it had begun

logger = logging.getLogger("pheye.ray")


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a replica tells of itself when all are asked."""

    card: ModelCard
    report: StepReport


class RemoteEngine(WorkerSupervisor):
    """All replicas of the engine, as one worker that has the slots of all of them.

    Args:
        handle: of the deployment `Engine`.
        affinity: send an image to the same replica each time.
        rest: what every supervisor is given.
    """

    def __init__(self, handle: Any, affinity: bool, *rest: Any) -> None:
        super().__init__(*rest)
        self._handle, self._affinity = handle, affinity
        self._streams: dict[str, asyncio.Task[None]] = {}  # by row; rows of one reservation have one
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def quiet_s(self) -> float:
        """No time at all: Ray asks each replica whether its engine makes progress."""
        return 0.0

    def start(self) -> None:
        """Begin to ask how the replicas are."""
        self._send_off(self._ask_forever())

    def kill(self) -> None:
        """Let go of all replicas, which are Ray's."""
        for task in (*self._errands, *self._streams.values()):
            task.cancel()

    async def stop(self) -> None:
        """Let go of all replicas, which are Ray's."""
        self.kill()

    def kill_if_stuck(self, after_s: float) -> None:
        """Do nothing: Ray ends a replica whose health check fails."""

    def give(self, rows: Iterable[AcceptedRow]) -> None:
        """Hand rows of one reservation to the replica that has their image, or is to have it."""
        batch = list(rows)
        if batch[0].quarantined:
            self._quarantined = batch[0]
        self.rows |= {row.id: row for row in batch}
        self._streams |= dict.fromkeys((row.id for row in batch), asyncio.create_task(self._follow(batch)))

    def take_back(self, ids: list[str]) -> None:
        """Cancel rows; those of one reservation are cancelled together."""
        for row_id in ids:
            self.rows.pop(row_id, None)
            if (stream := self._streams.pop(row_id, None)) is not None:
                stream.cancel()

    def tell(self, message: Prefetch | Forget) -> None:
        """Let the image's replica encode it, or all replicas forget it."""
        self._send_off(self._tell(message))

    async def _follow(self, batch: Sequence[AcceptedRow]) -> None:
        """Follow the events of rows until all have ended; what is left when their replica is lost goes back."""
        image = batch[0].image
        submit = Submit(image, tuple(row.replay() for row in batch), batch[0].quarantined)
        try:
            await self._listen(self._to(image).options(stream=True).answer.remote(submit))
        except Exception as error:  # whatever Ray calls it, nothing more will come
            logger.error(
                "lost a replica with %s: %s", name_requests(row.row.origin for row in batch), _first_line(error)
            )
        if any(row.id in self.rows for row in batch) and not any(row.started for row in batch):
            await asyncio.sleep(RETRY_S)
        lost = [row for row in batch if self.rows.pop(row.id, None) is not None]
        for row in batch:
            self._streams.pop(row.id, None)
        if lost:
            self._on_change(self, lost)

    async def _listen(self, stream: Any) -> None:
        """Learn of everything that a replica says of some rows; whoever cancels this cancels them."""
        try:
            async for message in stream:
                self._learn_of(message)
        except asyncio.CancelledError:
            stream.cancel()
            raise

    def _learn_of(self, message: FromWorker) -> None:
        if isinstance(message, Started):
            for row in filter(None, map(self.rows.get, message.ids)):
                row.started = True
        elif isinstance(message, StepDone):
            self.costs = self.costs.after(message.report)
            self._on_step(self, message)

    def _to(self, image: TiledImage) -> Any:
        return self._handle.options(session_id=image.image_key) if self._affinity else self._handle

    async def _tell(self, message: Prefetch | Forget) -> None:
        try:
            if isinstance(message, Prefetch):
                await self._to(message.image).tell.remote(message)
            else:
                await self._handle.broadcast("tell", message).results_async(
                    timeout_s=PATIENCE_S, return_exceptions=True
                )
        except Exception as error:  # a replica that is gone has nothing to forget, and the next will encode
            logger.debug("%s: %s", type(message).__name__, _first_line(error))

    async def _ask_forever(self) -> None:
        while True:
            try:
                asked = self._handle.broadcast("state")
                answers = await asked.results_async(timeout_s=PATIENCE_S, return_exceptions=True)
                if self.tokenizer is None and answers:
                    self.tokenizer = await self._handle.tokenizer.remote()
                self._note([each for each in answers if isinstance(each, ReplicaState)])
            except Exception as error:  # Ray is busy with itself, or there is no replica
                logger.debug("no replica tells how it is: %s", _first_line(error))
                self._note([])
            await asyncio.sleep(ASK_S)

    def _note(self, states: Sequence[ReplicaState]) -> None:
        """Learn how many slots there are, and whether anybody is there at all."""
        cards = [state.card for state in states]
        if not cards:
            self.card = None
            return
        self.report = replace(
            self.report,
            slots_used=sum(state.report.slots_used for state in states),
            cache_bytes=sum(state.report.cache_bytes for state in states),
        )
        was = self.card
        self.card = replace(cards[0], slots=sum(card.slots for card in cards))
        if self.card != was:
            logger.info("%d replicas of the engine with %d slots", len(cards), self.card.slots)
            self._on_change(self, [])

    def _send_off(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
