"""Rotary embedding of new queries and keys, and the append of keys and values to the KV cache, in one kernel.

Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from torch import Tensor

from model.network.kernels.early import launch_options, wait_for_inputs
from model.network.kernels.triton_import import jit, tl, triton

_HEADS_TOGETHER = 4  # of one row that one program rotates


def rotate_and_append(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    rows: Tensor,
    positions: Tensor,
    keys: Tensor,
    values: Tensor,
    q: Tensor,
) -> None:
    """Launch rotary embedding and append; see `model.network.decode.attention.rotate_and_append`."""
    batch, heads, width = q.shape
    _rotate_and_append[(batch, triton.cdiv(heads, _HEADS_TOGETHER))](
        qkv, cos, sin, rows, positions, keys, values, q, qkv.stride(0), cos.stride(0), sin.stride(0), keys.shape[2],
        *keys.stride()[:3], *values.stride()[:3], HEADS=heads, WIDTH=width, PADDED=triton.next_power_of_2(width),
        TURNED=cos.shape[1], TOGETHER=_HEADS_TOGETHER,
        num_warps=1, **launch_options(q.device),
    )  # fmt: skip


@jit
def _turned(at, channels, read, cosine, sine, TURNED: tl.constexpr):
    """Rotate heads, rounding where torch rounds, so that both give the same bits."""
    first = channels < TURNED // 2
    turning = channels < TURNED
    other = tl.where(first, channels + TURNED // 2, channels - TURNED // 2)
    x = tl.load(at + channels[None, :], mask=read, other=0.0)
    y = tl.load(at + other[None, :], mask=read & turning[None, :], other=0.0).to(tl.float32)
    y = tl.where(first[None, :], -y, y)
    left = (x.to(tl.float32) * cosine[None, :]).to(x.dtype)
    right = (y * sine[None, :]).to(x.dtype)
    turned = (left.to(tl.float32) + right.to(tl.float32)).to(x.dtype)
    return tl.where(turning[None, :], turned, x)


@jit
def _rotate_and_append(
    qkv, cos, sin, rows, positions, keys, values, out, qkv_row, cos_row, sin_row, room,
    k_slot, k_head, k_token, v_slot, v_head, v_token,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, TURNED: tl.constexpr, TOGETHER: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Process a few heads of one row: rotate queries and keys, and put keys and values into the KV cache."""
    wait_for_inputs(EARLY)
    row = tl.program_id(0).to(tl.int64)
    heads = (tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)).to(tl.int64)
    channels = tl.arange(0, PADDED)
    slot = tl.load(rows + row).to(tl.int64)
    position = tl.load(positions + row).to(tl.int64)
    real = (slot >= 0) & (position < room)
    position = tl.where(real, position, 0)
    read = (heads < HEADS)[:, None] & (channels < WIDTH)[None, :]
    turning = channels < TURNED
    cosine = tl.load(cos + position * cos_row + channels, mask=turning, other=1.0).to(tl.float32)
    sine = tl.load(sin + position * sin_row + channels, mask=turning, other=0.0).to(tl.float32)
    at = qkv + row * qkv_row + heads[:, None] * WIDTH
    q = _turned(at, channels, read, cosine, sine, TURNED)
    k = _turned(at + HEADS * WIDTH, channels, read, cosine, sine, TURNED)
    v = tl.load(at + 2 * HEADS * WIDTH + channels[None, :], mask=read, other=0.0)
    tl.store(out + (row * HEADS + heads[:, None]) * WIDTH + channels[None, :], q, mask=read)
    if real:
        k_at = keys + slot * k_slot + heads[:, None] * k_head + position * k_token + channels[None, :]
        v_at = values + slot * v_slot + heads[:, None] * v_head + position * v_token + channels[None, :]
        tl.store(k_at, k.to(keys.dtype.element_ty), mask=read)
        tl.store(v_at, v.to(values.dtype.element_ty), mask=read)
