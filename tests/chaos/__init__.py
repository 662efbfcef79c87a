"""Chaos tests: each promise of the service together with the violence that tests it, on a real server.

`make chaos` runs the scenarios and writes the table of `docs/reliability.md`. Those that take seconds are in the test
suite as well (`test_scenarios.py`).
"""

from __future__ import annotations

from tests.chaos.scenario import Scenario


def all_scenarios() -> tuple[Scenario, ...]:
    """List every scenario, in the order of the table."""
    from tests.chaos import api_death, clients, connections, endurance, fuzz, images, overload, workers

    files = (workers, images, connections, overload, clients, fuzz, api_death, endurance)
    return tuple(scenario for file in files for scenario in file.SCENARIOS)
