"""One simulated machine: admission, decoding, workers, on a clock of its own.

Decides nothing: engine, planner, fair queue, admission control and placement are the service's own code. One thread.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np
from cachetools import LRUCache

from model.pixels.tiles import ImageKey, TiledImage
from model.request import Sampling
from service.bench.capacity.costs import MachineModel
from service.bench.capacity.simulated_model import SimulatedModel, VirtualClock
from service.dispatch.admission import WaitingRoom
from service.dispatch.placement import expected_wait
from service.messages.from_worker import Admitted, Finished, StepDone
from service.messages.rows import Flow, Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

_NO_TILES = np.empty((0, 0, 0, 3), dtype=np.uint8)
_FLOW = Flow()


class EventLoop:
    """Discrete events in the order of their time; of equal times, in the order in which they were scheduled.

    Attributes:
        clock: stands at the time of the event that is happening.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        """Schedule an event of the simulation."""
        heapq.heappush(self._events, (time_s, next(self._number), event))

    def run(self) -> None:
        """Let everything happen, to the end."""
        while self._events:
            self.clock.now_s, _, event = heapq.heappop(self._events)
            event()


@dataclass(slots=True, eq=False)
class SimulatedRequest:
    """A request with one question, and what became of it.

    Attributes:
        number: its name.
        image: which image, by number.
        tokens: of its answer.
        arrived_s: when it came.
        done_s: when its answer was complete.
        refused: there was no room for it.
        hit: the image's features were known.
        admitted: it has got a slot.
    """

    number: int
    image: int
    tokens: int
    arrived_s: float = 0.0
    done_s: float = 0.0
    refused: bool = False
    hit: bool = False
    admitted: bool = False


class SimulatedWorker:
    """One worker: a real engine on a simulated model."""

    def __init__(self, machine: MachineModel, loop: EventLoop, done: Callable[[SimulatedRequest], None]) -> None:
        self._machine = machine
        self._loop = loop
        self._done = done
        self._cached: LRUCache[ImageKey, bool] = LRUCache(machine.cached_images)
        model = SimulatedModel(machine, loop.clock, self._cached)
        self._engine = Engine(cast("ModelRunner", model), stall_s=machine.stall_s, clock=loop.clock)
        self._inbox: list[Submit] = []
        self._stepping = False
        self.rows: dict[str, SimulatedRequest] = {}
        self.busy_s = 0.0

    def prime(self, images: Iterable[int]) -> None:
        """Fill the feature cache with images in the order in which they were used."""
        for image in images:
            key = ImageKey(str(image))
            if not self._cached.get(key, False):
                self._cached[key] = True

    def wait(self, request: SimulatedRequest) -> float:
        """Estimate a request's wait, as the supervisor of a worker does."""
        here = ImageKey(str(request.image)) in self._cached or any(
            row.image == request.image for row in self.rows.values()
        )
        return expected_wait(len(self.rows), self._machine.slots, float(here))

    def give(self, request: SimulatedRequest) -> None:
        """Send a request to the engine, which takes it up before its next step."""
        row = Row(str(request.number), "", Sampling(max_tokens=request.tokens), flow=_FLOW)
        self.rows[row.id] = request
        self._inbox.append(Submit(TiledImage(ImageKey(str(request.image)), 1, 1, _NO_TILES), (row,)))
        if not self._stepping:
            self._step()

    def _step(self) -> None:
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            self._engine.submit(message)
        self._stepping = self._engine.busy
        if self._stepping:
            started_s = self._loop.clock.now_s
            step = self._engine.step()
            self._loop.clock.now_s += self._machine.costs.other_s
            self.busy_s += self._loop.clock.now_s - started_s
            self._loop.at(self._loop.clock.now_s, partial(self._stepped, step))
            self._loop.clock.now_s = started_s  # what the step has done, others see at its end

    def _stepped(self, step: StepDone) -> None:
        for event in step.events:
            if isinstance(event, Admitted):
                self.rows[event.id].admitted = True
            elif isinstance(event, Finished):
                request = self.rows.pop(event.id)
                request.hit = event.usage.image_features_cached
                self._done(request)
        self._step()


class SimulatedMachine:
    """One machine: real admission control, decoders, and workers among which rows are placed as the service does.

    Args:
        machine: what it is.
        loop: where its events happen.
        done: told of each request that is answered or refused.
    """

    def __init__(self, machine: MachineModel, loop: EventLoop, done: Callable[[SimulatedRequest], None]) -> None:
        self._machine = machine
        self._loop = loop
        self._done = done
        self.workers = [SimulatedWorker(machine, loop, self._ended) for _ in range(machine.workers)]
        self._decoding = 0
        self._undecoded: deque[SimulatedRequest] = deque()
        self.open: dict[int, SimulatedRequest] = {}

    @property
    def busy_s(self) -> float:
        """The seconds for which its workers have worked."""
        return sum(worker.busy_s for worker in self.workers)

    def arrive(self, request: SimulatedRequest) -> None:
        """Take a request, or refuse it."""
        waiting = sum(not each.admitted for each in self.open.values())
        if not WaitingRoom(self._machine.max_waiting, Counter({_FLOW: waiting})).admits(_FLOW, 1):
            request.refused, request.done_s = True, self._loop.clock.now_s
            self._done(request)
            return
        self.open[request.number] = request
        self._undecoded.append(request)
        self._decode_next()

    def _decode_next(self) -> None:
        if self._undecoded and self._decoding < self._machine.decoders:
            self._decoding += 1
            request = self._undecoded.popleft()
            self._loop.at(self._loop.clock.now_s + self._machine.costs.api_s, partial(self._decoded, request))

    def _decoded(self, request: SimulatedRequest) -> None:
        self._decoding -= 1
        self._decode_next()
        min(self.workers, key=lambda worker: worker.wait(request)).give(request)

    def _ended(self, request: SimulatedRequest) -> None:
        del self.open[request.number]
        request.done_s = self._loop.clock.now_s
        self._done(request)
