"""The search for the highest rate, on servers that are pure functions."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.capacity import LatencyTarget, highest_rate
from loadtest.loops import LoadRun
from loadtest.summary import summarise
from tests.loadtest.test_summary import outcome


def searched(limit: float, start: float = 1.0, precision: float = 0.05) -> tuple[float | None, list[float]]:
    tried: list[float] = []

    async def keeps(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    return asyncio.run(highest_rate(keeps, start, precision)), tried


@pytest.mark.parametrize("start", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("limit", [0.3, 1.0, 7.7, 640.0])
def test_the_limit_is_found_within_the_precision_from_below_and_from_above(limit: float, start: float) -> None:
    found, tried = searched(limit, start)
    assert found is not None
    assert limit / 1.05 <= found <= limit
    assert tried[0] == start
    assert found in tried
    assert len(set(tried)) == len(tried) <= 20


def test_a_coarser_search_tries_less() -> None:
    assert len(searched(7.7, precision=0.5)[1]) < len(searched(7.7, precision=0.01)[1])


def test_a_server_that_never_keeps_it_has_no_rate() -> None:
    found, tried = searched(0.0)
    assert found is None
    assert min(tried) >= 0.01


def test_a_server_that_always_keeps_it_ends_the_search_too() -> None:
    found, tried = searched(float("inf"))
    assert found == max(tried)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        pytest.param([outcome(1.0)] * 10, True, id="all quick"),
        pytest.param([outcome(1.0)] * 19 + [outcome(9.0)], True, id="one in twenty slow"),
        pytest.param([outcome(1.0)] * 8 + [outcome(9.0)] * 2, False, id="two in ten slow"),
        pytest.param([outcome(1.0)] * 99 + [outcome(1.0, status="429", come_back_s=1.0)], False, id="one refused"),
        pytest.param([outcome(1.0)] * 99 + [outcome(1.0, status="500")], False, id="one lost"),
        pytest.param([outcome(1.0, status="500")], False, id="nothing answered"),
    ],
)
def test_a_target_is_kept_if_all_are_answered_and_enough_of_them_in_time(outcomes: list, kept: bool) -> None:
    assert LatencyTarget("p90", 2.0).kept(summarise(LoadRun(outcomes, 0))) is kept
