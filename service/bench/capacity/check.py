"""Check of the simulation against a real server under the real load test, at load points that taught it nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.bench.capacity.costs import LoadCounts, MachineModel
from service.bench.capacity.measure import CALIBRATION, HOT_IMAGES, LoadOutcome, MeasuredServer, PlannedLoad, in_turns
from service.bench.capacity.simulate import Cluster, SimulationResult
from service.bench.capacity.traffic import Traffic, open_arrivals, whole_draw

CLOSED = (PlannedLoad(80, 0.5, 4), PlannedLoad(120, 0.75, 24))
OPEN_HITS, OPEN_SHARE, OPEN_REQUESTS = 0.5, 0.5, 150  # at half of what the closed loop shows the machine to do
SIMULATED = 1500  # requests, so that the percentiles are steady
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


def simulate_load(machine: MachineModel, load: PlannedLoad, tokens: int, seed: int = 1) -> SimulationResult:
    """Simulate a load of the load test on one machine."""
    traffic = Traffic(repeated=load.hits, known=HOT_IMAGES, tokens=tokens)
    chance = np.random.default_rng(seed)
    draw, cluster = whole_draw(traffic, chance), Cluster(machine, 1)
    for worker in cluster.machines[0].workers:
        worker.prime(range(HOT_IMAGES))
    if not load.clients:
        seconds = SIMULATED / load.rate_per_s
        return cluster.run_open(open_arrivals(draw, load.rate_per_s, seconds, tokens, chance))
    requests = list(open_arrivals(draw, SIMULATED, 1.0, tokens, chance))
    return cluster.run_closed(requests, load.clients)


def compare(machines: Sequence[MachineModel], load: PlannedLoad, outcomes: Sequence[LoadOutcome]) -> list[CheckedFigure]:
    """Compare what one load showed with what the simulation says of it, turn by turn."""
    measured: list[tuple[float, ...]] = []
    simulated: list[tuple[float, ...]] = []
    for machine, outcome in zip(machines, outcomes, strict=True):
        told = outcome.summary
        result = simulate_load(machine, load, round(told["tokens"] / told["answers"]))
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
