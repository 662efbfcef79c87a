"""The async batching queue of the API process: admission, streams, cancellation, deadlines, replay.

Every accepted request is here until its client has the whole answer, so a worker's death costs a pause and not an
answer. Knows no HTTP and no tensors. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Sequence

from model.prompt import render
from model.tiles import ImageKey, TiledImage
from service.dispatch.costs import Costs
from service.dispatch.fleet import Fleet
from service.dispatch.lane import Lane
from service.dispatch.reservation import Place, Request, RowSpec
from service.errors import InvalidField, Poisoned, RowFailed, ServiceError, Unavailable, WaitingRoomFull
from service.messages import Admitted, Broken, Delta, Finished, ModelCard, Refused, RowEvent, StepDone
from service.metrics import Metrics
from service.settings import Settings

MOST_LOADS = 5  # workers that may die before any was ever ready
STALE_S = 30.0  # without progress for so long, the service calls itself not ready
RETRY_S = 5  # what a client is told to wait while the service loads or drains
WATCH_S = 1.0

logger = logging.getLogger("pheye.queue")


class RequestQueue:
    """Accepted requests on their way to the workers and back.

    Attributes:
        card: the model, once a worker has been ready; None before.
        failed: set when the model cannot be loaded at all; `failure` says why.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.card: ModelCard | None = None
        self.failed = asyncio.Event()
        self.failure = ""
        self._settings = settings
        self._metrics = metrics
        self._fleet = Fleet(settings, self._step_done, self._lane_changed, self._cannot_load)
        self._places: set[Place] = set()
        self._pending: list[Request] = []  # accepted, with no worker yet; oldest first
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._row_s = 0.0  # running average of the time a row takes from admission to end
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the workers and return at once."""
        self._fleet.start()
        self._watch = asyncio.create_task(self._watch_lanes())

    async def drain(self, grace_s: float) -> None:
        """Refuse new work from now on; return when all accepted work is answered or after `grace_s`."""
        self._draining = True
        self._update_gauges()
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            logger.warning("%d requests were not done after %.0f s of grace", len(self._places), grace_s)
            for request in [request for place in self._places for request in place.requests]:
                self._fail(request, Unavailable("the service stopped before the answer was complete"))

    async def stop(self) -> None:
        """End the workers."""
        if self._watch is not None:
            self._watch.cancel()
        await self._fleet.stop()

    def not_ready(self) -> str | None:
        """Why the service cannot take work now, or None."""
        ready = self._fleet.ready
        if self.failure:
            return f"the model cannot be loaded: {self.failure}"
        if self._draining:
            return "the service is shutting down"
        if not ready:
            return "the model is loading" if self.card is None else "no worker is alive; one is being started"
        quiet_s = min(lane.quiet_s for lane in ready)
        return f"the engine has made no progress for {quiet_s:.0f} s" if quiet_s > STALE_S else None

    def reserve(self, rows: int) -> Place:
        """Room for a client's rows.

        Raises:
            Unavailable: loading, draining, or no worker.
            WaitingRoomFull: too many rows wait already.
        """
        reason = self.not_ready()
        if reason is not None:
            self.count_drop("draining" if self._draining else "loading")
            raise Unavailable(reason, retry_after_s=RETRY_S)
        waiting = self._waiting()
        if waiting + rows > self._settings.max_waiting:
            self.count_drop("full")
            wait_s = min(60, 1 + math.ceil(waiting * self._row_s / max(self._fleet.slots, 1)))
            raise WaitingRoomFull(
                f"{waiting} of {self._settings.max_waiting} places are taken; try again in about {wait_s} s",
                retry_after_s=wait_s,
            )
        place = Place(self, rows, self._settings.deadline_s)
        self._places.add(place)
        self._idle.clear()
        self._update_gauges()
        return place

    def accept(self, place: Place, image: TiledImage, rows: Sequence[RowSpec]) -> None:
        """Take a place's rows; called by `Place.submit`."""
        place.requests = [Request(spec.row(uuid.uuid4().hex), image, place, index) for index, spec in enumerate(rows)]
        self._pending += place.requests
        self._dispatch()

    def leave(self, place: Place) -> None:
        """A client is gone, with its answer or without; called when a `Place` is left."""
        self._places.discard(place)
        gone = {request.row.id for request in place.requests}
        self._pending = [request for request in self._pending if request.row.id not in gone]
        self._fleet.take_back(gone)
        if not self._places:
            self._idle.set()
        self._dispatch()

    def prefetch(self, image: TiledImage) -> None:
        """Have an image encoded in the background, unless its features are here already."""
        self._fleet.prefetch(image)

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image's features everywhere."""
        self._fleet.forget(image_key)

    def resident(self, image_key: ImageKey) -> bool:
        """Whether an image's features are in some worker's cache, as the workers tell."""
        return self._fleet.resident(image_key)

    def costs(self) -> Costs:
        """What work has cost lately, on the least loaded device."""
        return self._fleet.costs()

    def wait_s(self) -> float | None:
        """Seconds for which a new row would wait for a slot, about; None while nothing has been measured."""
        waiting, slots = self._waiting(), max(self._fleet.slots, 1)
        if waiting + sum(request.admitted for request in self._fleet.requests) < slots:
            return 0.0
        return (waiting + 1) * self._row_s / slots if self._row_s else None

    def count_tokens(self, instruction: str) -> int:
        """Tokens of an instruction's whole prompt; slow for long ones, and safe from any thread.

        Raises:
            Unavailable: no model has been loaded yet.
        """
        if self._fleet.tokenizer is None:
            raise Unavailable("the model is loading", retry_after_s=RETRY_S)
        return len(self._fleet.tokenizer.encode(render(instruction)))

    def count_drop(self, reason: str) -> None:
        """Count a request that will not get its answer."""
        self._metrics.requests_dropped.labels(reason=reason).inc()

    def _dispatch(self) -> None:
        self._pending = self._fleet.hand_out(self._pending)
        self._update_gauges()

    def _lane_changed(self, lane: Lane, lost: list[Request]) -> None:
        if lane.card is not None:
            self.card = lane.card
        else:
            self._metrics.worker_restarts.inc()
            if self.card is None and lane.deaths >= MOST_LOADS:
                self._cannot_load(f"{lane.deaths} workers died while they loaded it; the log has their exit codes")
        again = [request for request in lost if self._may_go_on(request)]
        self._pending = sorted(again + self._pending, key=lambda row: (not row.on_trial, row.place.entered_s))
        self._dispatch()

    def _may_go_on(self, request: Request) -> bool:
        """Whether a request that lost its worker is given to another; if not, it has its answer now."""
        request.lost_worker()
        if request.suspicion.proven:
            self.count_drop("poison")
            deaths = request.suspicion.deaths
            self._fail(
                request, Poisoned(f"{deaths} workers died, one after the other, while they worked on this request")
            )
        else:
            self._metrics.request_replays.inc()
        return not request.suspicion.proven

    def _cannot_load(self, reason: str) -> None:
        self.failure = reason
        self.failed.set()

    def _step_done(self, lane: Lane, step: StepDone) -> None:
        self._metrics.record_step(step.report)
        for event in step.events:
            request = lane.requests.get(event.id)
            if request is not None:  # else: cancelled while the step ran
                self._deliver(lane, request, event)
        self._update_gauges()

    def _deliver(self, lane: Lane, request: Request, event: RowEvent) -> None:
        place = request.place
        match event:
            case Admitted(queue_s=queue_s):
                request.admitted = True
                self._metrics.queue_seconds.observe(queue_s)
            case Delta():
                if request.first_token_s is None:
                    self._metrics.time_to_first_token_seconds.observe(time.monotonic() - place.entered_s)
                was_on_trial = request.on_trial
                request.record(event)
                place.put(request.index, event)
                if was_on_trial and not request.on_trial:
                    self._dispatch()  # its lane takes others again
            case Finished():
                self._finish(lane, request, event)
            case Refused(field=name, detail=detail):
                self._end(lane, request, InvalidField(f"{name}: {detail}"))
                self.count_drop("refused")
            case Broken(detail=detail):
                self._end(lane, request, RowFailed(detail))

    def _finish(self, lane: Lane, request: Request, event: Finished) -> None:
        took_s = event.timings.prefill_s + event.timings.decode_s
        self._row_s = took_s if not self._row_s else 0.9 * self._row_s + 0.1 * took_s
        if request.first_token_s is not None and len(request.tokens) > 1:
            per_token_s = (request.last_token_s - request.first_token_s) / (len(request.tokens) - 1)
            self._metrics.time_per_output_token_seconds.observe(per_token_s)
        self._end(lane, request, event)

    def _end(self, lane: Lane, request: Request, event: Finished | ServiceError) -> None:
        del lane.requests[request.row.id]
        request.place.put(request.index, event)
        if request.on_trial:
            self._dispatch()  # its lane takes others again

    def _fail(self, request: Request, error: ServiceError) -> None:
        request.place.put(request.index, error)

    def _waiting(self) -> int:
        """Rows that were promised an answer and hold no slot."""
        return sum(
            sum(not request.admitted for request in place.requests) if place.requests else place.reserved
            for place in self._places
        )

    def _update_gauges(self) -> None:
        metrics, reports = self._metrics, [lane.report for lane in self._fleet.lanes]
        metrics.requests_waiting.set(self._waiting())
        metrics.requests_running.set(sum(request.admitted for request in self._fleet.requests))
        metrics.slots.set(self._fleet.slots)
        metrics.slots_used.set(sum(report.slots_used for report in reports))
        metrics.feature_cache_bytes.set(sum(report.cache_bytes for report in reports))
        metrics.ready.set(self.not_ready() is None)

    async def _watch_lanes(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            for lane in self._fleet.lanes:
                lane.kill_if_stuck(self._settings.step_timeout_s)
            self._update_gauges()
