"""Kernels between the vision encoder's matrix products, each in one pass over memory.

Results are rounded where separate torch operations would round them, so that both give the same numbers. Called by the
engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from torch import Tensor

from model.network.kernels.triton_import import jit, tl, triton

_TOGETHER = 4096  # numbers that one program activates


def activate(x: Tensor, name: str) -> None:
    """Launch an activation in place; see `model.network.fused.activate_`."""
    count = x.numel()
    _activate[(triton.cdiv(count, _TOGETHER),)](x, count, NAME=name, TOGETHER=_TOGETHER, num_warps=8)


def add_norm(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor) -> None:
    """Launch addition and layer norm; see `model.network.fused.add_norm`."""
    rows, width = x.shape
    _add_norm[(rows,)](x, delta, weight, bias, out, eps, WIDTH=width, PADDED=triton.next_power_of_2(width), num_warps=4)


def patches(tiles: Tensor, table: Tensor, patch_px: int, out: Tensor) -> None:
    """Launch lookup and layout of pixels; see `model.network.patches`."""
    count, side = tiles.shape[:2]
    width = out.shape[-1]
    _patches[(count * (side // patch_px) ** 2,)](
        tiles, table, out, SIDE=side, PATCH=patch_px, WIDTH=width, PADDED=triton.next_power_of_2(width), num_warps=4
    )


@jit
def _rounded(number, like):
    """Round a float32 as if it were written and read again."""
    return number.to(like.dtype).to(tl.float32)


@jit
def _logistic(number):
    """Compute the logistic function as exactly as its exponential; far below zero it ends before that overflows."""
    return 1.0 / (1.0 + tl.exp(-tl.maximum(number, -87.0)))


@jit
def _activate(x, count, NAME: tl.constexpr, TOGETHER: tl.constexpr):
    """Apply an activation to some neighbouring numbers."""
    first = tl.program_id(0).to(tl.int64) * TOGETHER
    place = tl.arange(0, TOGETHER)
    there = place < count - first
    at = x + first + place
    stored = tl.load(at, mask=there, other=0.0)
    number = stored.to(tl.float32)
    if NAME == "quick_gelu":
        gate = _rounded(number * 1.702, stored)
        active = number * _rounded(_logistic(gate), stored)
    elif NAME == "gelu":
        active = number * 0.5 * (1.0 + tl.erf(number * 0.7071067811865476))
    else:
        inner = 0.7978845608028654 * (number + 0.044715 * number * number * number)
        active = number * _logistic(2.0 * inner)  # which is half of 1 + tanh
    tl.store(at, active.to(stored.dtype), mask=there)


@jit
def _add_norm(x, delta, weight, bias, out, eps, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Add and normalise one row."""
    row = tl.program_id(0).to(tl.int64) * WIDTH
    channels = tl.arange(0, PADDED)
    there = channels < WIDTH
    stored = tl.load(x + row + channels, mask=there, other=0.0)
    change = tl.load(delta + row + channels, mask=there, other=0.0)
    stretch = tl.load(weight + channels, mask=there, other=0.0).to(tl.float32)
    shift = tl.load(bias + channels, mask=there, other=0.0).to(tl.float32)
    summed = (stored.to(tl.float32) + change.to(tl.float32)).to(stored.dtype)
    tl.store(x + row + channels, summed, mask=there)
    number = summed.to(tl.float32)
    mean = tl.sum(number, 0) / WIDTH
    apart = tl.where(there, number - mean, 0.0)
    scale = tl.rsqrt(tl.sum(apart * apart, 0) / WIDTH + eps)
    normed = stretch * (scale * apart) + shift
    tl.store(out + row + channels, normed.to(stored.dtype), mask=there)


@jit
def _patches(
    tiles, table, out, SIDE: tl.constexpr, PATCH: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr
):  # fmt: skip
    """Lay out one patch: its bytes, looked up and ordered by colour, line and column; zeros behind them."""
    patch = tl.program_id(0).to(tl.int64)
    of_side: tl.constexpr = SIDE // PATCH
    tile, place = patch // (of_side * of_side), patch % (of_side * of_side)
    column = tl.arange(0, PADDED)
    colour, inside = column // (PATCH * PATCH), column % (PATCH * PATCH)
    line = place // of_side * PATCH + inside // PATCH
    across = place % of_side * PATCH + inside % PATCH
    there = colour < 3
    byte = tl.load(tiles + ((tile * SIDE + line) * SIDE + across) * 3 + colour, mask=there, other=0)
    pixel = tl.load(table + colour * 256 + byte.to(tl.int32), mask=there, other=0.0)
    tl.store(out + patch * WIDTH + column, pixel, mask=column < WIDTH)
