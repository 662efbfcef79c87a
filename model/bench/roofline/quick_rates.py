"""Peak rates of this machine's CPU in float32, measured in about a second without torch.

For estimates only: `model.bench.roofline.ceilings` measures what benchmarks are held against. One thread drives numpy,
whose matrix products use all cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REPEATS = 3
_READ_SHAPE = (16_384, 4096)  # 256 MiB, far more than any cache holds
_PRODUCT = (1024, 1280, 1280)  # about the rows of a tile batch, by the width of Pheye's vision encoder


@dataclass(frozen=True, slots=True)
class QuickRates:
    """Rates of one measurement.

    Attributes:
        bytes_per_s: memory read.
        flops_per_s: of a matrix product in float32, two for each multiply-add.
        took_s: the measurement itself.
    """

    bytes_per_s: float
    flops_per_s: float
    took_s: float


def quick_rates() -> QuickRates:
    """Measure both rates; other processes on the machine make them smaller."""
    began_s = time.perf_counter()
    matrix, vector = np.ones(_READ_SHAPE, np.float32), np.ones(_READ_SHAPE[1], np.float32)
    rows, inner, columns = _PRODUCT
    left, right = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    read_s = _best_s(lambda: matrix @ vector)
    multiply_s = _best_s(lambda: left @ right)
    flops = 2 * rows * inner * columns
    return QuickRates(matrix.nbytes / read_s, flops / multiply_s, time.perf_counter() - began_s)


def _best_s(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began_s)
    return best
