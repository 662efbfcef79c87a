"""The simulation keeps the laws of queueing, repeats itself, and gains from affinity."""

from __future__ import annotations

import random

import pytest

from loadtest.loops import poisson_arrivals_s
from service.bench.capacity.check import planned_requests
from service.bench.capacity.costs import MachineModel, StepCosts
from service.bench.capacity.fleet import FleetGoal, FleetPlan, Routing, simulate_fleet
from service.bench.capacity.machine import SimulatedRequest
from service.bench.capacity.measure import PlannedLoad
from service.bench.capacity.simulate import Cluster
from service.bench.capacity.traffic import Traffic

ONE_AT_A_TIME = MachineModel(StepCosts(0, 0, 0, 0.01, 0, 0, 0, 0, 0), tiles=1, slots=1, max_waiting=10_000)
USUAL = MachineModel(StepCosts(0.01, 0.005, 0.005, 0.005, 0.01, 0.005, 0.001, 0, 0.02), tiles=10, cached_images=50)


def test_one_slot_is_an_m_d_1_queue_and_keeps_littles_law() -> None:
    chance, now_s, requests = random.Random(1), 0.0, []
    for number in range(4000):
        now_s += chance.expovariate(50.0)
        requests.append(SimulatedRequest(number, 0, 1, arrived_s=now_s))
    result = Cluster(ONE_AT_A_TIME, 1).run_open(requests)
    assert result.busy[0] == pytest.approx(0.5, rel=0.05)
    assert result.mean_s == pytest.approx(0.01 + 0.5 * 0.01 / (2 * 0.5), rel=0.1)  # Pollaczek-Khinchine
    assert result.in_system == pytest.approx(result.answers_per_s * result.mean_s, rel=0.001)  # Little


def test_a_fleet_repeats_itself_and_affinity_raises_its_hits() -> None:
    plan = FleetPlan(USUAL, Traffic(0.9, 200, tokens=4), FleetGoal(20.0, 95, 2.0), seconds=15.0, warm_s=2.0)
    with_affinity = simulate_fleet(plan, 4, Routing(affinity=True))
    assert with_affinity == simulate_fleet(plan, 4, Routing(affinity=True))
    assert with_affinity.hit_ratio > simulate_fleet(plan, 4, Routing(affinity=False)).hit_ratio + 0.2


def test_requests_come_when_the_load_test_sends_them() -> None:
    requests = planned_requests(PlannedLoad(20, 0.5, rate_per_s=3.0), 8, seed=7)
    assert [each.arrived_s for each in requests] == pytest.approx(poisson_arrivals_s(3.0, 20, "7 0 0"))
