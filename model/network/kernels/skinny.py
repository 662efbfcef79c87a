"""Linear layer over few rows (a decode step's), fused with the operations that follow it.

Such a product is bound by reading the weights once, and a step by the number of its kernels. `skinny` takes bias,
activation and residual along. `skinny_parts` splits the inputs, so that few outputs fill a GPU too, and `finish` adds
the parts up, with bias, residual and the layer norm that comes next. Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.kernels.early import launch_options, wait_for_inputs
from model.network.kernels.triton_import import DOT_TYPES, jit, tl, triton

MOST_ROWS = 64
ACTIVATIONS = {None: 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "gelu": 2, "quick_gelu": 3}
_PROGRAMS = 264  # that a product over few outputs is split into: two for each processor of an H100


@dataclass(frozen=True, slots=True)
class SkinnyTile:
    """Share of a product that one program computes.

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


def tile_of(rows: int, outputs: int) -> SkinnyTile:
    """Return the tile for so many rows and outputs; chosen by times on an H200 (see docs/gpu.md)."""
    if outputs <= 2048:
        return SkinnyTile(16, 256, 4, 5 if rows <= 16 else 3)
    return SkinnyTile(64, 128, 4, 5 if rows <= 16 else 4)


def splits_of(outputs: int, inputs: int, tile: SkinnyTile) -> int:
    """Return the number of parts the inputs are split into; each is whole tiles."""
    wanted = -(-_PROGRAMS // -(-outputs // tile.outputs))
    return max(1, min(wanted, inputs // (2 * tile.inputs), 16))


def skinny(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    activation: str | None = None,
    start: int = 0,
    residual: Tensor | None = None,
    tile: SkinnyTile | None = None,
) -> Tensor:
    """Launch x W^T + b, activated from output `start` on, plus the residual; see `decode.linear.apply`."""
    out = torch.empty((len(x), len(weight)), dtype=x.dtype, device=x.device)
    _launch(x, weight, bias, residual, out, 1, activation, start, tile or tile_of(len(x), len(weight)))
    return out


def skinny_parts(x: Tensor, weight: Tensor, tile: SkinnyTile | None = None) -> Tensor:
    """Launch x W^T with the inputs split into parts whose sum it is, float32 [splits, rows, outputs]."""
    tile = tile or SkinnyTile(64, 128, 4, 5 if len(x) <= 16 else 4)
    splits = splits_of(len(weight), x.shape[1], tile)
    parts = torch.empty((splits, len(x), len(weight)), dtype=torch.float32, device=x.device)
    _launch(x, weight, None, None, parts, splits, None, 0, tile)
    return parts


def finish(
    parts: Tensor, bias: Tensor, residual: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Launch the sum of parts, bias and residual, and its layer norm; see `decode.linear.add_and_norm`."""
    splits, rows, width = parts.shape
    total = torch.empty((rows, width), dtype=residual.dtype, device=residual.device)
    normed = torch.empty_like(total)
    _finish[(rows,)](
        parts, bias, residual, norm_weight, norm_bias, total, normed, rows * width, residual.stride(0), eps,
        SPLITS=splits, WIDTH=width, PADDED=triton.next_power_of_2(width), num_warps=8,
        **launch_options(parts.device),
    )  # fmt: skip
    return total, normed


def _launch(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
    splits: int,
    activation: str | None,
    start: int,
    tile: SkinnyTile,
) -> None:
    rows, inputs = x.shape
    outputs = len(weight)
    step = min(tile.inputs, max(16, triton.next_power_of_2(inputs)))
    share = triton.cdiv(triton.cdiv(inputs, splits), step) * step
    _skinny[(triton.cdiv(outputs, tile.outputs), splits)](
        x, weight, x if bias is None else bias, x if residual is None else residual, out,
        rows, outputs, inputs, share, start,
        x.stride(0), weight.stride(0), 0 if residual is None else residual.stride(0),
        ROWS=max(16, triton.next_power_of_2(rows)), OUTPUTS=tile.outputs, INPUTS=step, EVEN=inputs % share == 0,
        BIAS=bias is not None, RESIDUAL=residual is not None, ACTIVATION=ACTIVATIONS[activation],
        DOT=DOT_TYPES[x.dtype], num_warps=tile.warps, num_stages=tile.stages,
        **launch_options(x.device),
    )  # fmt: skip


@jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@jit
def _activated(x, ACTIVATION: tl.constexpr):
    """Apply GELU in one of its forms: by tanh, by the error function, or by a sigmoid."""
    if ACTIVATION == 1:  # 0.5 (1 + tanh(z)) is sigmoid(2 z)
        x = x * _sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif ACTIVATION == 2:
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == 3:
        x = x * _sigmoid(1.702 * x)
    return x


@jit
def _skinny(
    x, weight, bias, residual, out, rows, outputs, inputs, share, start, x_row, weight_row, residual_row,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, EVEN: tl.constexpr, BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr, ACTIVATION: tl.constexpr, DOT: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """Multiply all rows into a few outputs, over one share of the inputs."""
    row = tl.arange(0, ROWS)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    channel = tl.arange(0, INPUTS)
    real_row, real_output = row < rows, output < outputs
    x_at = x + row.to(tl.int64)[:, None] * x_row + channel[None, :]
    weight_at = weight + output.to(tl.int64)[:, None] * weight_row + channel[None, :]
    first = tl.program_id(1) * share
    end = tl.minimum(first + share, inputs)
    # The first weights are on their way while the kernel before this one still runs.
    real = first + channel < end
    weights = tl.load(weight_at + first, mask=real_output[:, None] & real[None, :], other=0.0)
    wait_for_inputs(EARLY)
    part = tl.load(x_at + first, mask=real_row[:, None] & real[None, :], other=0.0)
    total = tl.dot(part.to(DOT), tl.trans(weights.to(DOT)), input_precision="ieee")
    for at in range(first + INPUTS, end, INPUTS):
        if EVEN:
            part = tl.load(x_at + at, mask=real_row[:, None], other=0.0)
            weights = tl.load(weight_at + at, mask=real_output[:, None], other=0.0)
        else:
            real = at + channel < inputs
            part = tl.load(x_at + at, mask=real_row[:, None] & real[None, :], other=0.0)
            weights = tl.load(weight_at + at, mask=real_output[:, None] & real[None, :], other=0.0)
        total = tl.dot(part.to(DOT), tl.trans(weights.to(DOT)), total, input_precision="ieee")
    if BIAS:
        total += tl.load(bias + output, mask=real_output, other=0.0).to(tl.float32)[None, :]
    if ACTIVATION != 0:
        total = tl.where(output[None, :] >= start, _activated(total, ACTIVATION), total)
    stored = real_row[:, None] & real_output[None, :]
    if RESIDUAL:
        total += tl.load(residual + row[:, None] * residual_row + output[None, :], mask=stored, other=0.0).to(
            tl.float32
        )
    out += tl.program_id(1).to(tl.int64) * rows * outputs
    tl.store(out + row.to(tl.int64)[:, None] * outputs + output[None, :], total.to(out.dtype.element_ty), mask=stored)


@jit
def _finish(
    parts, bias, residual, norm_weight, norm_bias, total, normed, part_size, residual_row, eps,
    SPLITS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """Add up one row as it is stored, and apply its layer norm."""
    wait_for_inputs(EARLY)
    row = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, PADDED)
    real = channel < WIDTH
    x = tl.load(bias + channel, mask=real, other=0.0).to(tl.float32)
    x += tl.load(residual + row * residual_row + channel, mask=real, other=0.0).to(tl.float32)
    for split in tl.static_range(SPLITS):
        x += tl.load(parts + split * part_size + row * WIDTH + channel, mask=real, other=0.0)
    stored = x.to(total.dtype.element_ty)
    tl.store(total + row * WIDTH + channel, stored, mask=real)
    x = stored.to(tl.float32)
    centred = tl.where(real, x - tl.sum(x, axis=0) / WIDTH, 0.0)
    scaled = centred * tl.rsqrt(tl.sum(centred * centred, axis=0) / WIDTH + eps)
    weight = tl.load(norm_weight + channel, mask=real, other=0.0).to(tl.float32)
    shift = tl.load(norm_bias + channel, mask=real, other=0.0).to(tl.float32)
    tl.store(normed + row * WIDTH + channel, (scaled * weight + shift).to(normed.dtype.element_ty), mask=real)
