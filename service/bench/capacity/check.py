"""Check of the simulation against a real server under the real load test, at load points that taught it nothing."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.bench.capacity.costs import LoadCounts, MachineModel
from service.bench.capacity.machine import SimulatedRequest
from service.bench.capacity.measure import CALIBRATION, HOT_IMAGES, LoadOutcome, MeasuredServer, PlannedLoad, in_turns
from service.bench.capacity.simulate import Cluster, SimulationResult

CLOSED = (PlannedLoad(80, 0.5, 4), PlannedLoad(120, 0.75, 24))
OPEN_HITS, OPEN_SHARE, OPEN_REQUESTS = 0.5, 0.5, 150  # at half of what the closed loop shows the machine to do
WITHIN = 0.15
FIGURES = ("answers/s", "p50 s", "p95 s")


@dataclass(frozen=True, slots=True)
class CheckedFigure:
    """A figure as it was measured and as it is simulated, once in each turn, by the costs of that turn.

    Attributes:
        load: the load point.
        name: of the figure.
        measured: in each turn.
        simulated: in each turn, from costs of other loads.
    """

    load: str
    name: str
    measured: tuple[float, ...]
    simulated: tuple[float, ...]

    @property
    def off(self) -> float:
        """The relative error of the simulation, the median of the turns."""
        pairs = zip(self.simulated, self.measured, strict=True)
        return statistics.median(simulated / measured for simulated, measured in pairs) - 1.0

    @property
    def holds(self) -> bool:
        """True if the error is within 15 %."""
        return abs(self.off) <= WITHIN


def simulate_load(machine: MachineModel, load: PlannedLoad, tokens: int, seed: int) -> SimulationResult:
    """Simulate a load of the load test on one machine, request by request.

    Args:
        machine: that answers.
        load: the load point.
        tokens: of an answer.
        seed: as the load test had it.
    """
    requests, cluster = planned_requests(load, tokens, seed), Cluster(machine, 1)
    for worker in cluster.machines[0].workers:
        worker.prime(range(HOT_IMAGES))
    return cluster.run_closed(requests, load.clients) if load.clients else cluster.run_open(requests)


def planned_requests(load: PlannedLoad, tokens: int, seed: int) -> list[SimulatedRequest]:
    """List the requests of a load: at the times of the load test, about known images and new ones as it asks.

    The draws are those of `loadtest.loops` and `loadtest.mix`, which is another program; a test compares them.
    """
    name = f"{seed} 0 0"
    chance, due_s, requests = random.Random(f"{name} arrivals"), 0.0, []  # noqa: S311 - no secrets here
    for number in range(load.requests):
        due_s += chance.expovariate(load.rate_per_s) if load.rate_per_s else 0.0
        own = random.Random(f"{name} {number}")  # noqa: S311 - no secrets here
        own.random()  # caption or question
        image = number % HOT_IMAGES if own.random() < load.hits else HOT_IMAGES + number
        requests.append(SimulatedRequest(number, image, tokens, arrived_s=due_s))
    return requests


def compare(
    machines: Sequence[MachineModel], load: PlannedLoad, outcomes: Sequence[LoadOutcome]
) -> list[CheckedFigure]:
    """Compare what one load showed with what the simulation says of it, turn by turn."""
    measured: list[tuple[float, ...]] = []
    simulated: list[tuple[float, ...]] = []
    for machine, outcome in zip(machines, outcomes, strict=True):
        told = outcome.summary
        result = simulate_load(machine, load, round(told["tokens"] / told["answers"]), outcome.seed)
        measured.append((told["answers_per_s"], told["latency_s"]["p50"], told["latency_s"]["p95"]))
        simulated.append((result.answers_per_s, result.percentile_s(50), result.percentile_s(95)))
    columns = zip(FIGURES, zip(*measured, strict=True), zip(*simulated, strict=True), strict=True)
    return [CheckedFigure(load.words, *column) for column in columns]


def check_loads(
    server: MeasuredServer,
    describe: Callable[[Sequence[LoadCounts]], MachineModel],
    repeats: int,
    tokens: int,
    tell: Callable[[str], None],
) -> tuple[MachineModel, list[CheckedFigure]]:
    """Measure costs and load points in turns, and compare within each turn.

    Args:
        server: that is measured.
        describe: makes the machine from the counts of the calibration's loads.
        repeats: turns.
        tokens: most tokens of an answer.
        tell: is given a line for each load.

    Returns:
        The machine, by all turns together, and the figures.
    """
    first = server.load(CLOSED[0], tokens).summary["answers_per_s"]  # a warm-up as well
    points = [*CLOSED, PlannedLoad(OPEN_REQUESTS, OPEN_HITS, rate_per_s=OPEN_SHARE * first)]
    outcomes = in_turns(server, [*CALIBRATION, *points], repeats, tokens, tell)
    known = len(CALIBRATION)
    turns = [[each.counts for each in turn] for turn in zip(*outcomes[:known], strict=True)]
    machines = [describe(counts) for counts in turns]
    checked = [compare(machines, load, found) for load, found in zip(points, outcomes[known:], strict=True)]
    together = describe([counts for turn in turns for counts in turn])
    return together, [figure for figures in checked for figure in figures]
