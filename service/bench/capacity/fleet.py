"""Fleets: how many machines a rate needs within a latency target, with and without image affinity. Pure.

A fleet of many machines is simulated by a sample. Without affinity all machines are alike, so a few of them with their
share of the traffic stand for all. With affinity what a machine gets depends on its images alone, so each machine of
the sample, from the least to the most loaded, runs by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from service.bench.capacity.costs import MachineModel
from service.bench.capacity.ring import HashRing, assign
from service.bench.capacity.simulate import Cluster, SimulationResult
from service.bench.capacity.traffic import ImageDraw, Traffic, open_arrivals, whole_draw

SAMPLE = 8  # machines that stand for a fleet
PRIMES = 12  # times the images that a cache holds, drawn to fill it before the clock starts
PRECISION = 0.02


@dataclass(frozen=True, slots=True)
class Routing:
    """The way in which the proxy chooses machines.

    Attributes:
        affinity: by image; else the one with the fewest connections.
        balance: with affinity, how many times the mean load a machine may get; None for any load.
    """

    affinity: bool
    balance: float | None = None

    @property
    def words(self) -> str:
        """The name of it for people."""
        if not self.affinity:
            return "no affinity"
        return "affinity" if self.balance is None else f"affinity, bounded ({self.balance:g})"


@dataclass(frozen=True, slots=True)
class FleetGoal:
    """The goal of a fleet: so many percent of the requests within so many seconds, none refused.

    Attributes:
        rate_per_s: of requests.
        percentile: of the latency.
        seconds: bound of that percentile.
        busy: share of the time for which workers may work on average, since load is never as even as in a simulation.
    """

    rate_per_s: float
    percentile: float
    seconds: float
    busy: float = 1.0


@dataclass(frozen=True, slots=True)
class FleetResult:
    """Result of a fleet's simulation.

    Attributes:
        machines: of the fleet.
        latency_s: the percentile that the goal asks for.
        p50_s, p95_s: of all requests of the sample.
        hit_ratio: of all answers.
        refused: share of the requests.
        busy: share of the time for which workers worked.
        busiest: the same, of the most loaded machine of the sample.
    """

    machines: int
    latency_s: float
    p50_s: float
    p95_s: float
    hit_ratio: float
    refused: float
    busy: float
    busiest: float

    def keeps(self, goal: FleetGoal) -> bool:
        """Return whether the goal is kept; one refusal in a thousand is."""
        return self.latency_s <= goal.seconds and self.refused <= 0.001 and self.busy <= goal.busy


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Plan of a simulation.

    Attributes:
        machine: what each of the fleet is.
        traffic: what comes.
        goal: what is promised.
        seconds: that are simulated.
        warm_s: of them at the beginning, which do not count.
        seed: of all that is drawn.
    """

    machine: MachineModel
    traffic: Traffic
    goal: FleetGoal
    seconds: float = 60.0
    warm_s: float = 15.0
    seed: int = 1


class NobodyAsked(ValueError):
    """A simulation in which no machine gets a request that counts."""


def simulate_fleet(plan: FleetPlan, machines: int, routing: Routing) -> FleetResult:
    """Simulate a fleet of so many machines."""
    runs = _with_affinity(plan, machines, routing.balance) if routing.affinity else [_without_affinity(plan, machines)]
    latencies = np.concatenate([np.array(run.latencies_s) for run in runs])
    if not len(latencies):
        raise NobodyAsked(f"in {plan.seconds:g} s nobody asks the machines that are simulated; take a higher rate")
    busy = [each for run in runs for each in run.busy]
    return FleetResult(
        machines=machines,
        latency_s=float(np.percentile(latencies, plan.goal.percentile)),
        p50_s=float(np.percentile(latencies, 50)),
        p95_s=float(np.percentile(latencies, 95)),
        hit_ratio=sum(run.hits for run in runs) / len(latencies),
        refused=sum(run.refused for run in runs) / sum(run.requests for run in runs),
        busy=float(np.mean(busy)),
        busiest=max(busy),
    )


def _without_affinity(plan: FleetPlan, machines: int) -> SimulationResult:
    count, traffic = min(machines, SAMPLE), plan.traffic
    chance = np.random.default_rng([plan.seed, 0])
    draw, cluster = whole_draw(traffic, chance), Cluster(plan.machine, count, warm_s=plan.warm_s)
    _prime(cluster, draw, plan.machine)
    rate = plan.goal.rate_per_s * count / machines
    return cluster.run_open(open_arrivals(draw, rate, plan.seconds, traffic.tokens, chance))


def _with_affinity(plan: FleetPlan, machines: int, balance: float | None) -> list[SimulationResult]:
    traffic, rate = plan.traffic, plan.goal.rate_per_s
    assigned = assign(HashRing.of(machines), traffic.popularity() * rate, (1.0 - traffic.repeated) * rate, balance)
    by_load = np.argsort(assigned.loads(), kind="stable")
    count = min(machines, SAMPLE)
    sampled = by_load[((np.arange(count) + 0.5) * machines / count).astype(int)]
    runs = []
    for machine in sampled:
        own = assigned.machines == machine
        chance = np.random.default_rng([plan.seed, int(machine)])
        new_rate = float(assigned.new_rates[machine])
        draw = ImageDraw(assigned.images[own], assigned.rates[own], new_rate, chance, first_new=traffic.known)
        cluster = Cluster(plan.machine, 1, warm_s=plan.warm_s)
        _prime(cluster, draw, plan.machine)
        runs.append(cluster.run_open(open_arrivals(draw, draw.rate, plan.seconds, traffic.tokens, chance)))
    return runs


def _prime(cluster: Cluster, draw: ImageDraw, machine: MachineModel) -> None:
    """Fill the caches as hours of this traffic would have."""
    for each in cluster.machines:
        for worker in each.workers:
            worker.prime(draw.take(PRIMES * machine.cached_images // machine.workers))


def size_fleet(plan: FleetPlan, routing: Routing, most: int = 1_000_000) -> FleetResult | None:
    """Find the smallest fleet that keeps the goal, to 2 %; None if no number of machines does.

    It begins where every image would be encoded, grows until the goal is kept, and then goes down by bisection, not
    below what the workers' busy time allows: fewer machines find no more features.

    Raises:
        NobodyAsked: the rate is so low that nothing can be said.
    """
    engine_s = plan.machine.engine_s(plan.traffic.tokens, hit=False)
    low, high = 0, max(1, math.ceil(plan.goal.rate_per_s * engine_s / plan.machine.workers / plan.goal.busy))
    kept = simulate_fleet(plan, high, routing)
    while not kept.keeps(plan.goal):
        low, high = high, max(high + 1, math.ceil(high * 1.4))
        if high > most or _hopeless(plan, low, kept, routing):
            return None
        try:
            kept = simulate_fleet(plan, high, routing)
        except NobodyAsked:  # of so many that there are no more requests for most of them
            return None
    while high - low > max(1, PRECISION * high):
        low = max(low, min(high - 1, math.floor(0.95 * high * kept.busy / plan.goal.busy)))
        middle = (low + high) // 2
        if middle == low:
            break
        tried = simulate_fleet(plan, middle, routing)
        if tried.keeps(plan.goal):
            high, kept = middle, tried
        else:
            low = middle
    return kept


def _hopeless(plan: FleetPlan, machines: int, result: FleetResult, routing: Routing) -> bool:
    """Return whether more machines do not help: these have nothing to do, or one image is too much for any of them."""
    if result.busy < 0.02 and machines > 100:
        return True
    if not routing.affinity or routing.balance is not None or not plan.traffic.known:
        return False
    hottest_per_s = float(plan.traffic.popularity()[0]) * plan.goal.rate_per_s
    return hottest_per_s * plan.machine.engine_s(plan.traffic.tokens, hit=True) > plan.machine.workers
