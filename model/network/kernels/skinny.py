"""A linear layer over few rows (a decode step's), with bias, activation and residual in the same kernel.

Such a product is bound by reading the weights once. The library's kernels are made for many rows; this one streams
weights through a program for each few outputs, and saves the launches of what would follow. Called by the engine's
thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# What a kernel takes has no types that a checker knows; only those that its compiler reads are given.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.kernels.triton_import import DOT_TYPES, jit, tl, triton

MOST_ROWS = 64
ACTIVATIONS = {None: 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "gelu": 2, "quick_gelu": 3}
_WIDE = 4096  # outputs from which one program for each `narrow` outputs would be too many


@dataclass(frozen=True, slots=True)
class Tile:
    """How much of a product one program does.

    Attributes:
        outputs: how many outputs; a power of two, at least 16.
        inputs: how many inputs at a time.
        warps: threads, in 32s.
        stages: parts of the weights that are on their way at the same time.
    """

    outputs: int
    inputs: int
    warps: int
    stages: int


def tile_of(rows: int, outputs: int) -> Tile:
    """The tile for so many rows and outputs; measured on an H100 (docs/performance.md)."""
    if rows <= 16:
        return Tile(16, 512, 4, 4) if outputs < _WIDE else Tile(32, 256, 4, 4)
    if rows <= 32:
        return Tile(16, 256, 4, 4) if outputs < _WIDE else Tile(32, 256, 4, 3)
    return Tile(16, 256, 4, 3) if outputs < _WIDE else Tile(64, 128, 4, 4)


def skinny(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    activation: str | None = None,
    start: int = 0,
    residual: Tensor | None = None,
    tile: Tile | None = None,
) -> Tensor:
    """Launch x W^T + b, activated from output `start` on, plus the residual; see `model.network.step_linear.apply`."""
    rows, inputs = x.shape
    outputs = len(weight)
    out = torch.empty((rows, outputs), dtype=x.dtype, device=x.device)
    tile = tile or tile_of(rows, outputs)
    padded = max(16, triton.next_power_of_2(rows))
    least = min(tile.inputs, max(16, triton.next_power_of_2(inputs)))
    _skinny[(triton.cdiv(outputs, tile.outputs),)](
        x, weight, x if bias is None else bias, x if residual is None else residual, out,
        rows, outputs, inputs, start, x.stride(0), weight.stride(0), 0 if residual is None else residual.stride(0),
        ROWS=padded, OUTPUTS=tile.outputs, INPUTS=least, EVEN=inputs % least == 0, BIAS=bias is not None,
        RESIDUAL=residual is not None, ACTIVATION=ACTIVATIONS[activation], DOT=DOT_TYPES[x.dtype],
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


@jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@jit
def _activated(x, ACTIVATION: tl.constexpr):
    """GELU in one of its forms: by tanh, by the error function, or by a sigmoid."""
    if ACTIVATION == 1:  # 0.5 (1 + tanh(z)) is sigmoid(2 z)
        x = x * _sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif ACTIVATION == 2:
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == 3:
        x = x * _sigmoid(1.702 * x)
    return x


@jit
def _skinny(
    x, weight, bias, residual, out, rows, outputs, inputs, start, x_row, weight_row, residual_row,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, EVEN: tl.constexpr, BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr, ACTIVATION: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All rows of a few outputs."""
    row = tl.arange(0, ROWS)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    channel = tl.arange(0, INPUTS)
    real_row, real_output = row < rows, output < outputs
    x_at = x + row.to(tl.int64)[:, None] * x_row + channel[None, :]
    weight_at = weight + output.to(tl.int64)[:, None] * weight_row + channel[None, :]
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for first in range(0, inputs, INPUTS):
        if EVEN:
            part = tl.load(x_at + first, mask=real_row[:, None], other=0.0)
            weights = tl.load(weight_at + first, mask=real_output[:, None], other=0.0)
        else:
            real = first + channel < inputs
            part = tl.load(x_at + first, mask=real_row[:, None] & real[None, :], other=0.0)
            weights = tl.load(weight_at + first, mask=real_output[:, None] & real[None, :], other=0.0)
        total = tl.dot(part.to(DOT), tl.trans(weights.to(DOT)), total, input_precision="ieee")
    if BIAS:
        total += tl.load(bias + output, mask=real_output, other=0.0).to(tl.float32)[None, :]
    if ACTIVATION != 0:
        total = tl.where(output[None, :] >= start, _activated(total, ACTIVATION), total)
    real = real_row[:, None] & real_output[None, :]
    if RESIDUAL:
        total += tl.load(residual + row[:, None] * residual_row + output[None, :], mask=real, other=0.0).to(tl.float32)
    tl.store(out + row.to(tl.int64)[:, None] * outputs + output[None, :], total.to(out.dtype.element_ty), mask=real)
