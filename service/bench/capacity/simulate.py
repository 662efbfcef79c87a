"""Simulation of a few machines under one load, open or closed, and what it measures. Seeded, so deterministic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.bench.capacity.costs import MachineModel
from service.bench.capacity.machine import EventLoop, SimulatedMachine, SimulatedRequest

Router = Callable[[SimulatedRequest, Sequence[SimulatedMachine]], int]


def least_connections(_: SimulatedRequest, machines: Sequence[SimulatedMachine]) -> int:
    """Choose the machine with the fewest open requests, the first of them."""
    return min(range(len(machines)), key=lambda place: len(machines[place].open))


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Result of a simulation.

    Attributes:
        requests: that came.
        refused: of them, for want of room.
        answered: of them, to the end.
        took_s: from the first arrival to the last answer.
        latencies_s: of the answered ones that count, in the order of their ends.
        hits: of them, whose image's features were known.
        busy: share of the time for which workers worked, of each machine.
        in_system: requests that were there on average over the time.
    """

    requests: int
    refused: int
    answered: int
    took_s: float
    latencies_s: tuple[float, ...]
    hits: int
    busy: tuple[float, ...]
    in_system: float

    @property
    def answers_per_s(self) -> float:
        """The throughput over the whole time."""
        return self.answered / self.took_s

    @property
    def hit_ratio(self) -> float:
        """The share of answers whose image's features were known."""
        return self.hits / max(1, len(self.latencies_s))

    @property
    def mean_s(self) -> float:
        """The mean latency of answered requests."""
        return float(np.mean(self.latencies_s))

    def percentile_s(self, percent: float) -> float:
        """Return the latency that so many percent of the answers keep; infinite without any answer."""
        return float(np.percentile(self.latencies_s, percent)) if self.latencies_s else float("inf")


class Cluster:
    """A few machines behind a router.

    Args:
        machine: what each of them is.
        count: how many.
        router: chooses one for each request.
        warm_s: requests that come before are no part of the latencies and hits.
    """

    def __init__(
        self, machine: MachineModel, count: int, router: Router = least_connections, warm_s: float = 0.0
    ) -> None:
        self._warm_s = warm_s
        self.loop = EventLoop()
        self.machines = [SimulatedMachine(machine, self.loop, self._done) for _ in range(count)]
        self._workers = machine.workers
        self._router = router
        self._ended: list[SimulatedRequest] = []
        self._arrived = 0
        self._present = 0
        self._area = self._changed_s = 0.0
        self._next: Callable[[], None] = lambda: None

    def run_open(self, requests: Iterable[SimulatedRequest]) -> SimulationResult:
        """Let requests arrive at their times, whatever becomes of those before."""
        for request in requests:
            self.loop.at(request.arrived_s, partial(self._arrive, request))
        self.loop.run()
        return self._result()

    def run_closed(self, requests: Iterable[SimulatedRequest], clients: int) -> SimulationResult:
        """Let each of so many clients send its next request when it has the answer to the one before."""
        left = iter(requests)

        def send() -> None:
            request = next(left, None)
            if request is not None:
                request.arrived_s = self.loop.clock.now_s
                self._arrive(request)

        self._next = send
        for _ in range(clients):
            self.loop.at(0.0, send)
        self.loop.run()
        return self._result()

    def _arrive(self, request: SimulatedRequest) -> None:
        self._count(1)
        self._arrived += 1
        self.machines[self._router(request, self.machines)].arrive(request)

    def _done(self, request: SimulatedRequest) -> None:
        self._count(-1)
        self._ended.append(request)
        self.loop.at(self.loop.clock.now_s, self._next)

    def _count(self, change: int) -> None:
        now_s = self.loop.clock.now_s
        self._area += self._present * (now_s - self._changed_s)
        self._present, self._changed_s = self._present + change, now_s

    def _result(self) -> SimulationResult:
        answered = [each for each in self._ended if not each.refused]
        counted = [each for each in answered if each.arrived_s >= self._warm_s]
        first_s = min((each.arrived_s for each in self._ended), default=0.0)
        took_s = max(self._changed_s - first_s, 1e-9)
        return SimulationResult(
            requests=self._arrived,
            refused=len(self._ended) - len(answered),
            answered=len(answered),
            took_s=took_s,
            latencies_s=tuple(each.done_s - each.arrived_s for each in counted),
            hits=sum(each.hit for each in counted),
            busy=tuple(machine.busy_s / self._workers / took_s for machine in self.machines),
            in_system=self._area / took_s,
        )
