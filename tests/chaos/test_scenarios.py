"""Every scenario is well described, and those that need only seconds hold; `make chaos` runs them all in full."""

from __future__ import annotations

import pytest

from tests.chaos import all_scenarios
from tests.chaos.scenario import Scale

SCENARIOS = {scenario.name: scenario for scenario in all_scenarios()}
SHORT = {"worker-kills": 0.05, "poison": 0.2, "api-kill": 0.2, "overload": 0.02}


def test_scenarios_have_names_of_their_own():
    assert len(SCENARIOS) == len(all_scenarios())


@pytest.mark.parametrize("name", SHORT)
def test_a_promise_holds(name):
    assert "0 wrong" in SCENARIOS[name].run(Scale(SHORT[name]))
