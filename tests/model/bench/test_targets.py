"""Targets: met, missed, and what is measured without one."""

from __future__ import annotations

from typing import Any

import pytest

from model.bench.roofline.floors import Floor
from model.bench.targets import TARGETS, judge
from model.bench.timing import Race
from tests.support.bench_results import result

ENCODE = {"model": "Pheye-x4-448", "workload": "encode"}


@pytest.mark.parametrize(
    ("other", "met"),
    [
        ({}, True),  # 5x; the target is 4.5x
        ({"race": Race.of([4.4], [1.0])}, False),
        ({"dtype": "int8"}, False),  # the target is 9x
        ({"dtype": "int8", "agreement": 0.5, "race": Race.of([9.0], [1.0])}, True),
        ({"agreement": 0.99}, False),  # quick, but of something else
        ({**ENCODE, "floor": Floor(0.84, "matrix")}, False),  # of the ceiling, 85 % are wanted
        ({**ENCODE, "floor": Floor(0.86, "matrix")}, True),
        ({**ENCODE, "floor": Floor(0.86, "matrix"), "race": Race.of([1.0], [1.0])}, False),
    ],
    ids=["met", "slow", "int8", "int8 may differ", "wrong", "far from the ceiling", "close", "close and no quicker"],
)
def test_a_result_is_held_against_its_target(other: dict[str, Any], met: bool) -> None:
    found = result(**other)
    (verdict,) = judge("cpu", [found])
    assert (verdict.result, verdict.met) == (found, met)


@pytest.mark.parametrize(
    "other",
    [{"model": "pheye-tiny"}, {"rows": 2, "images": 2}, {"rows": 8, "images": 1}, {"workload": "second_first_token"}],
    ids=["model", "rows", "one image", "mark"],
)
def test_what_no_target_speaks_of_is_not_judged(other: dict[str, Any]) -> None:
    assert judge("cpu", [result(**other)]) == ()


def test_a_gpu_has_targets_of_its_own() -> None:
    on_gpu = result(dtype="bfloat16", rows=64, images=64, floor=Floor(0.7, "memory"))
    (verdict,) = judge("cuda", [on_gpu, result()])
    assert verdict.result == on_gpu
    assert verdict.met


def test_every_target_asks_for_something_once() -> None:
    assert all(target.ratio or target.share for target in TARGETS)
    keys = [(t.device, t.model, t.workload, t.dtype, t.rows, t.images) for t in TARGETS]
    assert len(set(keys)) == len(keys)
