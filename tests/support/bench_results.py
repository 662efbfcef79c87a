"""A made-up run of the benchmark, for tests of what is told of one."""

from __future__ import annotations

from typing import Any

from model.bench.machine import Machine
from model.bench.plan import Section
from model.bench.result import BenchReport, BenchResult, CachedImage
from model.bench.roofline.ceilings import Ceilings
from model.bench.roofline.floors import Floor
from model.bench.targets import judge
from model.bench.timing import Race

MACHINE = Machine("A Processor", 2, 2, ("avx2",), 24 * 10**9, None, "2.7.0", "3.11.7")


def result(**other: Any) -> BenchResult:
    """A decode step of one row at full size, five times as quick as the naive twin's, at half of the ceiling."""
    usual: dict[str, Any] = {
        "model": "Pheye-x2-672",
        "dtype": "float32",
        "workload": "decode",
        "rows": 1,
        "images": 1,
        "race": Race.of([5.0, 10.0, 5.0], [1.0, 2.0, 1.0]),
        "tokens": 1,
        "agreement": 1.0,
        "floor": Floor(0.5, "memory"),
        "peak_bytes": 2 * 10**9,
    }
    return BenchResult(**usual | other)


def report(*results: BenchResult) -> BenchReport:
    """A run that found these."""
    return BenchReport(
        sections=(Section("random:Pheye-x2-672", ("float32",), {"decode": (1,)}),),
        machine=MACHINE,
        commit="0123abc",
        ceilings=(Ceilings("Pheye-x2-672", "float32", 12e9, 100e9, {"sum_bytes_per_s": 12e9}),),
        results=results,
        cached=(CachedImage("Pheye-x2-672", "float32", 2 * 1280 * 2570, 2 * 1280 * 2570),),
        verdicts=judge("cpu", results),
    )
