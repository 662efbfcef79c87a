"""The request queue of the API process: admission control, streaming, cancellation, deadlines, replay.

Every accepted request is here until its client has the whole answer, so a worker's death costs a pause and not an
answer. Knows no HTTP and no tensors. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from model.pixels.tiles import TiledImage
from model.prompt import render
from model.tokenizer import TextTokenizer
from service.configuration.settings import Settings
from service.dispatch.admission import WaitingRoom
from service.dispatch.deletions import Deletions
from service.dispatch.delivery import Delivery
from service.dispatch.reservation import AcceptedRow, Reservation
from service.dispatch.workers.gpu_watch import watch_gpus
from service.dispatch.workers.supervisor import WorkerSupervisor
from service.dispatch.workers.worker_gauges import WorkerGauges
from service.dispatch.workers.worker_pool import WorkerPool
from service.errors import Poisoned, ServiceError, Unavailable, WaitingRoomFull
from service.messages.from_worker import ModelCard, StepDone
from service.messages.rows import Flow, Row
from service.metrics.service_metrics import Metrics
from service.upkeep import keep_up

MOST_LOADS = 5  # deaths of workers that are accepted before any worker was ready
STALE_S = 30.0  # without progress for so long, the service calls itself not ready
LOADING = "the model is loading"
WATCH_S = 1.0

logger = logging.getLogger("pheye.queue")


class RequestQueue:
    """The waiting queue: accepted requests on their way to the workers and back.

    Attributes:
        card: the model, once a worker has been ready; None before.
        workers: where accepted rows are worked on.
        deletions: of images that rows may still ask about.
        failed: set when the model cannot be loaded at all; `failure` says why.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        supervise: Callable[..., WorkerSupervisor] = WorkerSupervisor,
    ) -> None:
        self.card: ModelCard | None = None
        self.failed = asyncio.Event()
        self.failure = ""
        self._settings = settings
        self._metrics = metrics
        callbacks = (self._step_done, self._worker_changed, self._cannot_load)
        self.workers = WorkerPool(settings, *callbacks, supervise)
        self.deletions = Deletions(self.workers)
        self._reservations: set[Reservation] = set()
        self._pending: list[AcceptedRow] = []  # accepted, with no worker yet; oldest first
        self._leaving = False  # not ready, and still accepting
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._delivery = Delivery(metrics, self._dispatch)
        self._watches: list[asyncio.Task[None]] = []
        self._gauges = WorkerGauges(metrics, self.workers.supervisors)
        metrics.before_reading(self._set_gauges)

    async def start(self) -> None:
        """Start the workers and return at once."""
        self.workers.start()
        supervisors = self.workers.supervisors
        watches = {f"the watch of worker {each.labels[0]}": partial(self._watch_worker, each) for each in supervisors}
        watches["the watch of the GPUs"] = partial(watch_gpus, self._metrics, supervisors)
        self._watches = [asyncio.create_task(keep_up(name, watch)) for name, watch in watches.items()]

    def announce_shutdown(self) -> None:
        """Be not ready from now on, and still accept work: others learn in time to ask elsewhere."""
        self._leaving = True

    @property
    def busy(self) -> bool:
        """True while any accepted work is unanswered."""
        return bool(self._reservations)

    async def drain(self, grace_s: float) -> None:
        """Refuse new work, and return when all accepted work is answered or after `grace_s`: graceful shutdown."""
        self._draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d requests were not done after %.0f s of grace", len(self._reservations), grace_s)
            for reservation in self._reservations:
                reservation.give_up(Unavailable("the service stopped before the answer was complete"))

    def kill(self) -> None:
        """End all workers at once, and start no others."""
        self.workers.kill()

    async def stop(self) -> None:
        """End all workers and the watches of them."""
        for watch in self._watches:
            watch.cancel()
        await self.workers.stop()

    def not_ready(self) -> str | None:
        """Say why the service should not be given work now, or None if it should: readiness."""
        return "the service is shutting down" if self._leaving and not self.failure else self._cannot_accept()

    def _cannot_accept(self) -> str | None:
        ready = self.workers.ready
        if self.failure:
            return f"the model cannot be loaded: {self.failure}"
        if self._draining:
            return "the service is shutting down"
        if not ready:
            return LOADING if self.card is None else "no worker is alive; one is being started"
        quiet_s = min(supervisor.quiet_s for supervisor in ready)
        return f"the engine has made no progress for {quiet_s:.0f} s" if quiet_s > STALE_S else None

    def loaded(self) -> ModelCard:
        """Return the loaded model; requests that come before it are refused and counted.

        Raises:
            Unavailable: no worker has been ready yet.
        """
        if self.card is None:
            raise self._unavailable(self._cannot_accept() or LOADING)
        return self.card

    def reserve(self, rows: int, flow: Flow | None = None, exemplar: dict[str, str] | None = None) -> Reservation:
        """Reserve room for a client's rows: admission control.

        Args:
            rows: answers to be generated.
            flow: whom they count for.
            exemplar: the trace that their measured times name, if any.

        Raises:
            Unavailable: loading, draining, or no worker.
            WaitingRoomFull: too many rows wait already, and this client has its share of the room.
        """
        flow = flow or Flow()
        reason = self._cannot_accept()
        if reason is not None:
            raise self._unavailable(reason)
        room = WaitingRoom(self._settings.max_waiting, self._waiting())
        if not room.admits(flow, rows):
            self.count_drop("full")
            wait_s = room.retry_after_s(flow, rows, self._delivery.row_s, self.workers.slots)
            raise WaitingRoomFull(
                f"{room.taken} of {room.places} places are taken, {room.own(flow)} by your requests; "
                f"try again in about {wait_s} s",
                retry_after_s=wait_s,
            )
        reservation = Reservation(self, rows, self._settings.deadline_s, flow, exemplar)
        self._reservations.add(reservation)
        self._idle.clear()
        return reservation

    def accept(self, reservation: Reservation, image: TiledImage, rows: Sequence[Row]) -> None:
        """Take a reservation's rows; called by `Reservation.submit`."""
        reservation.rows = [
            AcceptedRow(replace(row, flow=reservation.flow), image, reservation, index)
            for index, row in enumerate(rows)
        ]
        self._pending += reservation.rows
        self._dispatch()

    def leave(self, reservation: Reservation) -> None:
        """Let go of a client, with its answer or without; called when a `Reservation` is left."""
        self._reservations.discard(reservation)
        gone = {row.id for row in reservation.rows}
        self._pending = [row for row in self._pending if row.id not in gone]
        self.workers.take_back(gone)
        self.deletions.request_ended(reservation, self._reservations)
        if not self._reservations:
            self._idle.set()
        self._dispatch()

    def wait_s(self, flow: Flow | None = None) -> float | None:
        """Estimate the seconds for which a client's new row would wait for a slot; None while nothing was measured."""
        flow, slots = flow or Flow(), max(self.workers.slots, 1)
        room = WaitingRoom(self._settings.max_waiting, self._waiting())
        if room.taken + sum(row.admitted for row in self.workers.rows) < slots:
            return 0.0
        own_slots = slots * room.share(flow) / room.places
        row_s = self._delivery.row_s
        return (room.own(flow) + 1) * row_s / own_slots if row_s else None

    def count_tokens(self, instruction: str) -> int:
        """Count the tokens of an instruction's whole prompt; slow for long ones, and safe from any thread.

        Raises:
            Unavailable: no model has been loaded yet.
        """
        return len(self.tokenizer().encode(render(instruction)))

    def tokenizer(self) -> TextTokenizer:
        """Return the model's tokenizer, which threads may share.

        Raises:
            Unavailable: no model has been loaded yet.
        """
        if self.workers.tokenizer is None:
            raise Unavailable(LOADING)
        return self.workers.tokenizer

    def count_drop(self, reason: str) -> None:
        """Count a request that will not get its answer."""
        self._metrics.requests_dropped.labels(reason=reason).inc()

    def _unavailable(self, reason: str) -> Unavailable:
        self.count_drop("draining" if self._draining else "loading")
        return Unavailable(reason)

    def _dispatch(self) -> None:
        self._pending = self.workers.hand_out(self._pending)

    def _worker_changed(self, supervisor: WorkerSupervisor, lost: list[AcceptedRow]) -> None:
        if supervisor.card is not None:
            self.card = supervisor.card
            self._gauges.name_device(supervisor, supervisor.card.device)
        else:
            self._gauges.count_restart(supervisor)
            if self.card is None and supervisor.deaths >= MOST_LOADS:
                self._cannot_load(
                    f"{supervisor.deaths} workers died while they loaded it; the log has their exit codes"
                )
        again = [row for row in lost if self._may_go_on(row)]
        self._pending = sorted(again + self._pending, key=lambda row: (not row.quarantined, row.reservation.entered_s))
        self._dispatch()

    def _may_go_on(self, row: AcceptedRow) -> bool:
        """Say whether a request that lost its worker is replayed; if not, it has its answer now."""
        row.lost_worker()
        if row.poison.proven:
            self.count_drop("poison")
            deaths = row.poison.deaths
            self._fail(row, Poisoned(f"{deaths} workers died, one after the other, while they worked on this request"))
        else:
            self._metrics.request_replays.inc()
        return not row.poison.proven

    def _cannot_load(self, reason: str) -> None:
        self.failure = reason
        self.failed.set()

    def _step_done(self, supervisor: WorkerSupervisor, step: StepDone) -> None:
        self._metrics.record_step(step.report, supervisor.labels)
        self._delivery.deliver(supervisor.rows, step.events)

    def _fail(self, row: AcceptedRow, error: ServiceError) -> None:
        row.reservation.put(row.index, error)

    def _waiting(self) -> Counter[Flow]:
        """Count the rows that were promised an answer and hold no slot, of each flow that has any under way."""
        waiting: Counter[Flow] = Counter()
        for each in self._reservations:
            waiting[each.flow] += each.waiting
        return waiting

    def _set_gauges(self) -> None:
        self._metrics.requests_waiting.set(sum(each.waiting for each in self._reservations))
        self._gauges.show()

    async def _watch_worker(self, supervisor: WorkerSupervisor) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            supervisor.kill_if_stuck(self._settings.step_timeout_s)
