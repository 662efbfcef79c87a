"""Ceilings: positive, finite, and the best of what was probed."""

from __future__ import annotations

import math
from itertools import count

import pytest
import torch

from model.bench.roofline.ceilings import ProbeSize, measure_ceilings, quickest, vit_products
from model.bench.timing import Lap, Stopwatch
from model.config import GEOMETRIES

CPU = torch.device("cpu")
MICRO = GEOMETRIES["pheye-micro"]
SMALL = ProbeSize(buffer_bytes=1 << 20, square=64)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_every_rate_is_positive_and_finite(dtype: str) -> None:
    found = measure_ceilings("micro", MICRO, CPU, dtype, SMALL, Stopwatch())
    assert (found.model, found.dtype) == ("micro", dtype)
    assert all(0 < rate < math.inf for rate in [found.bytes_per_s, found.flops_per_s, *found.probes.values()])


def test_the_best_probe_of_each_kind_counts() -> None:
    ticks = count()
    watch = Stopwatch(clock=lambda: float(next(ticks)))  # every call takes a second
    found = measure_ceilings("micro", MICRO, CPU, "float32", SMALL, watch)
    assert found.bytes_per_s == found.probes["copy_bytes_per_s"] == 2 * (1 << 20)  # read and written
    assert found.probes["sum_bytes_per_s"] == found.probes["matrix_vector_bytes_per_s"] == 1 << 20
    assert found.flops_per_s == max(product.flops for product in vit_products(MICRO).values())
    assert found.probes["square_64_plain_flops_per_s"] == 2 * 64**3


def test_the_vision_transformers_own_products_are_probed() -> None:
    config = GEOMETRIES["Pheye-x4-448"]
    flops = sum(product.flops for product in vit_products(config).values())
    assert flops == 2 * 5 * 257 * (3 * 1280**2 + 2 * 1280 * 5120)


def test_short_products_of_a_gpu_are_launched_many_at_a_time_so_that_launching_does_not_count() -> None:
    seconds = 0.0

    def settle() -> None:
        nonlocal seconds
        seconds += 0.001  # to wait takes a while, whatever there is to wait for

    def product(_: Lap) -> torch.Tensor:
        nonlocal seconds
        seconds += 1e-5
        return torch.ones(1)

    watch = Stopwatch(clock=lambda: seconds, settle=settle)
    assert quickest(product, CPU, watch) == pytest.approx(1e-3 + 1e-5)
    assert quickest(product, torch.device("cuda"), watch) < 3e-4
