"""Peak rates of the machine, measured beside the model: memory bandwidth and matrix products per second.

Probes are torch's own operations on plain arrays, of the sizes a vision transformer multiplies and one that fits every
library well; the best of all counts. Knows no model but its sizes. One thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.bench.timing import Call, Lap, Stopwatch
from model.config import PheyeConfig
from model.network.linear import PackedLinear, packs

REPEATS = 5
_WIDTH = 4096  # of the matrix that is read
_LEAST_LAUNCHED_S = 0.005  # of one sample on a device that computes while the host goes on


@dataclass(frozen=True, slots=True)
class ProbeSize:
    """Size of the probes: an array far larger than every cache, and the side of a square product."""

    buffer_bytes: int
    square: int


PROBES: Mapping[str, ProbeSize] = {"cpu": ProbeSize(1 << 29, 2048), "cuda": ProbeSize(1 << 32, 8192)}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Peak rates of a device in one number format.

    Attributes:
        model: whose sizes were multiplied.
        dtype: number format of the products.
        bytes_per_s: memory read.
        flops_per_s: two for each multiply-add.
        probes: every rate that was measured, by name.
    """

    model: str
    dtype: str
    bytes_per_s: float
    flops_per_s: float
    probes: Mapping[str, float]


def measure_ceilings(
    name: str, config: PheyeConfig, device: torch.device, dtype: str, size: ProbeSize, watch: Stopwatch
) -> Ceilings:
    """Run every probe for the model called `name`, and keep the largest rate of each kind."""
    reads = {
        f"{probe}_bytes_per_s": count / quickest(call, device, watch)
        for probe, count, call in _reads(device, size.buffer_bytes)
    }
    shapes = {f"square_{size.square}": Product(*(size.square,) * 3)} | vit_products(config)
    products = {
        f"{probe}_{form}_flops_per_s": shape.flops / quickest(call, device, watch)
        for probe, shape in shapes.items()
        for form, call in _forms(shape, device, dtype)
    }
    return Ceilings(name, dtype, max(reads.values()), max(products.values()), reads | products)


def quickest(call: Call[Tensor], device: torch.device, watch: Stopwatch) -> float:
    """Return the seconds of the fastest of several calls.

    To launch a short product and to wait for it takes a GPU longer than to compute it; so many are launched at once
    that neither shows.
    """
    if device.type == "cpu":
        return watch.best(call, REPEATS)
    calls = max(1, math.ceil(_LEAST_LAUNCHED_S / watch.best(call, 1)))

    def launched(lap: Lap) -> None:
        for _ in range(calls):
            call(lap)

    return watch.best(launched, REPEATS) / calls


@dataclass(frozen=True, slots=True)
class Product:
    """Size of a matrix product, [rows, inputs] times [inputs, outputs]."""

    rows: int
    inputs: int
    outputs: int

    @property
    def flops(self) -> int:
        """Number of FLOPs, two for each multiply-add."""
        return 2 * self.rows * self.inputs * self.outputs


def vit_products(config: PheyeConfig) -> dict[str, Product]:
    """Return the three large products of a vision layer over one image's tiles."""
    v = config.vision
    return {
        "vit_qkv": Product(config.image_tokens, v.width, 3 * v.width),
        "vit_fc1": Product(config.image_tokens, v.width, v.mlp_width),
        "vit_fc2": Product(config.image_tokens, v.mlp_width, v.width),
    }


def _reads(device: torch.device, size_bytes: int) -> Iterator[tuple[str, int, Call[Tensor]]]:
    """Return ways to go through memory, with the bytes that each reads and writes."""
    matrix = torch.ones(size_bytes // 4 // _WIDTH, _WIDTH, device=device)
    vector = torch.ones(_WIDTH, device=device)
    other = torch.empty_like(matrix)
    yield "sum", matrix.nbytes, lambda _: matrix.sum()
    yield "matrix_vector", matrix.nbytes, lambda _: matrix @ vector
    yield "copy", 2 * matrix.nbytes, lambda _: other.copy_(matrix)
    for dtype in (torch.float32, torch.bfloat16):
        if packs(device, dtype):
            yield f"packed_{dtype}".replace("torch.", ""), size_bytes, _packed_row(size_bytes, dtype)


def _packed_row(size_bytes: int, dtype: torch.dtype) -> Call[Tensor]:
    """Multiply one row with packed weights of so many bytes, as decode steps do: often the fastest way to read."""
    packed = PackedLinear(torch.ones(size_bytes // dtype.itemsize // _WIDTH, _WIDTH, dtype=dtype), None)
    row = torch.ones(1, _WIDTH, dtype=dtype)
    return lambda _: packed(row)


def _forms(shape: Product, device: torch.device, dtype: str) -> Iterator[tuple[str, Call[Tensor]]]:
    """Return the ways in which this machine can compute a product."""
    if dtype in ("int8", "int4"):  # whose inputs are int8 as well
        yield "int8", _int8_product(shape)
        return
    x, weight = (
        torch.randn(size, shape.inputs, device=device, dtype=getattr(torch, dtype))
        for size in (shape.rows, shape.outputs)
    )
    yield "plain", lambda _: F.linear(x, weight)
    if packs(device, weight.dtype):
        packed = PackedLinear(weight, None)
        yield "packed", lambda _: packed(x)


def _int8_product(shape: Product) -> Call[Tensor]:
    """Multiply int8 inputs alone, without quantising the inputs or scaling the result."""
    weight = torch.ops.onednn.qlinear_prepack(torch.ones((shape.outputs, shape.inputs), dtype=torch.int8), None)
    x = torch.ones((shape.rows, shape.inputs), dtype=torch.uint8)
    scales, zeros = torch.ones(shape.outputs), torch.zeros(shape.outputs, dtype=torch.int32)
    rest: tuple[Any, ...] = (weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")

    def product(_: Lap) -> Tensor:
        out: Tensor = torch.ops.onednn.qlinear_pointwise(x, 1.0, 0, *rest)
        return out

    return product
