"""Triton kernels for one new token per row: attention split over the tokens of a slot, and the KV cache's append.

Flash-decoding (split over tokens, then combine by log-sum-exp), with up to 16 queries of one slot multiplied together.
Nothing here asks the device for a number, and every grid depends on sizes of tensors only, so all of it can be captured
in a CUDA graph; the lengths that bound the loops are read by the kernels. Knows no models. Imports without Triton, but
can then not be called. Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# What a kernel takes has no types that a checker knows; only those that its compiler reads are given.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.network.decode_groups import ROWS_OF_GROUP, DecodeGroups

try:
    import triton
    import triton.language as tl
    from triton import jit
except ModuleNotFoundError:  # torch for CPUs comes without it

    def jit(function: Any) -> Any:
        """Leave the function alone; nobody can call it."""
        return function

    triton = tl = None

INSTALLED = triton is not None

LEAST_CHUNK = 64  # tokens; a shorter part of a slot is not worth a program of its own
MOST_SPLITS = 32  # a power of two
_TILE_BYTES = 8192  # of keys, and as many of values, that a program has in flight for each stage of its pipeline
_PROGRAMS_PER_PROCESSOR = 4  # that are resident together on an H100, by their shared memory
_HEADS_TOGETHER = 4  # of one row that one program rotates
_LOG2_E = 1.4426950408889634  # the hardware raises 2 to a power, not e


def splits_of(groups: int, heads: int, tokens: int, processors: int) -> int:
    """Into how many parts each slot is split, so that few rows fill the device too; from fixed sizes only."""
    wanted = _PROGRAMS_PER_PROCESSOR * processors // (groups * heads)
    return max(1, min(wanted, -(-tokens // LEAST_CHUNK), MOST_SPLITS))


def tokens_of_tile(padded_width: int, item_bytes: int) -> int:
    """Tokens that a program reads together; a power of two."""
    return max(16, min(64, _TILE_BYTES // (padded_width * item_bytes)))


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    groups: DecodeGroups,
    lengths: Tensor | int,
    scale: float,
    out: Tensor,
    splits: int,
) -> None:
    """Launch the attention of one query per row; see `model.network.decode_attention.decode_attention`."""
    batch, heads, width = q.shape
    padded = max(16, triton.next_power_of_2(width))
    split = splits > 1
    parts = torch.empty((batch, heads, splits, width) if split else 1, dtype=torch.float32, device=q.device)
    sums = torch.empty((batch, heads, splits) if split else 1, dtype=torch.float32, device=q.device)
    table, fixed = (groups.slot, lengths) if isinstance(lengths, int) else (lengths, 0)
    sizes = {"WIDTH": width, "PADDED": padded, "LEAST": LEAST_CHUNK, "BY_SLOT": not isinstance(lengths, int)}
    strides = (*q.stride()[:2], *keys.stride()[:3], *values.stride()[:3], *out.stride()[:2])
    _attend[(heads, len(groups.slot), splits)](
        q, keys, values, out, parts, sums, groups.slot, groups.rows, table, fixed, scale * _LOG2_E, *strides, **sizes,
        ROWS=ROWS_OF_GROUP, TOKENS=tokens_of_tile(padded, q.element_size()), SPLIT=split,
        DOT=_DOT_TYPES[q.dtype], num_warps=4, num_stages=3,
    )  # fmt: skip
    if split:
        _combine[(heads, batch)](
            parts, sums, out, groups.row_slot, table, fixed, splits, *out.stride()[:2], **sizes,
            SPLITS=MOST_SPLITS, num_warps=4,
        )  # fmt: skip


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
    """Launch rotary embedding and append; see `model.network.decode_attention.rotate_and_append`."""
    batch, heads, width = q.shape
    _rotate_and_append[(batch, triton.cdiv(heads, _HEADS_TOGETHER))](
        qkv, cos, sin, rows, positions, keys, values, q, qkv.stride(0), cos.stride(0), sin.stride(0),
        *keys.stride()[:3], *values.stride()[:3], HEADS=heads, WIDTH=width, PADDED=triton.next_power_of_2(width),
        TURNED=cos.shape[1], TOGETHER=_HEADS_TOGETHER, num_warps=1,
    )  # fmt: skip


@jit
def _length_of(slot, lengths, fixed, BY_SLOT: tl.constexpr):
    """Tokens of a slot; 0 where there is no slot."""
    length = fixed
    if BY_SLOT:
        length = tl.load(lengths + tl.maximum(slot, 0)).to(tl.int32)
    return tl.where(slot < 0, 0, length)


@jit
def _chunk_of(length, splits, LEAST: tl.constexpr):
    """Tokens of one split; the last ones may have none."""
    return tl.maximum((length + splits - 1) // splits, LEAST)


@jit
def _attend(
    q, keys, values, out, parts, sums, group_slot, group_rows, lengths, fixed, scale,
    q_row, q_head, k_slot, k_head, k_token, v_slot, v_head, v_token, out_row, out_head,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, LEAST: tl.constexpr, BY_SLOT: tl.constexpr,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, SPLIT: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """One head of a group of rows against one split of their slot; softmax as it goes, in base 2."""
    head = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1)
    split = tl.program_id(2)
    slot = tl.load(group_slot + group)
    length = _length_of(slot, lengths, fixed, BY_SLOT)
    start = 0
    end = length
    if SPLIT:
        chunk = _chunk_of(length, tl.num_programs(2), LEAST)
        start = split * chunk
        end = tl.minimum(start + chunk, length)
        if start >= length:
            return
    rows = tl.load(group_rows + group * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    channels = tl.arange(0, PADDED)
    tokens = start + tl.arange(0, TOKENS)
    wanted = (rows >= 0)[:, None] & (channels < WIDTH)[None, :]
    query = tl.load(q + rows[:, None] * q_row + head * q_head + channels[None, :], mask=wanted, other=0.0).to(DOT)
    # Slots are counted in 64 bits: all of them together may have more than 2**31 numbers.
    here = slot.to(tl.int64)
    k_at = keys + here * k_slot + head * k_head + tokens.to(tl.int64)[:, None] * k_token + channels[None, :]
    v_at = values + here * v_slot + head * v_head + tokens.to(tl.int64)[:, None] * v_token + channels[None, :]
    best = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    seen = tl.zeros([ROWS, PADDED], tl.float32)
    for first in range(start, end, TOKENS):
        # What lies beyond the length is not read: an earlier owner of the slot may have left a NaN there.
        left = end - first
        filled = tl.arange(0, TOKENS) < left
        read = filled[:, None] & (channels < WIDTH)[None, :]
        k = tl.load(k_at, mask=read, other=0.0)
        v = tl.load(v_at, mask=read, other=0.0)
        scores = tl.dot(query, tl.trans(k.to(DOT)), input_precision="ieee") * scale
        scores = tl.where(filled[None, :], scores, float("-inf"))
        top = tl.maximum(best, tl.max(scores, 1))
        weights = tl.exp2(scores - top[:, None])
        fade = tl.exp2(best - top)
        total = total * fade + tl.sum(weights, 1)
        seen = tl.dot(weights.to(DOT), v.to(DOT), seen * fade[:, None], input_precision="ieee")
        best = top
        k_at += TOKENS * k_token
        v_at += TOKENS * v_token
    total = tl.where(length > 0, total, 1.0)
    seen = seen / total[:, None]
    if SPLIT:
        place = (rows * tl.num_programs(0) + head) * tl.num_programs(2) + split
        tl.store(parts + place[:, None] * WIDTH + channels[None, :], seen, mask=wanted)
        tl.store(sums + place, best + tl.log2(total), mask=rows >= 0)
    else:
        at = out + rows[:, None] * out_row + head * out_head + channels[None, :]
        tl.store(at, seen.to(out.dtype.element_ty), mask=wanted)


@jit
def _combine(
    parts, sums, out, row_slot, lengths, fixed, splits, out_row, out_head,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, LEAST: tl.constexpr, BY_SLOT: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """One head of one row: what its splits saw, weighted by their shares of the softmax."""
    head = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1).to(tl.int64)
    length = _length_of(tl.load(row_slot + row), lengths, fixed, BY_SLOT)
    chunk = _chunk_of(length, splits, LEAST)
    index = tl.arange(0, SPLITS)
    channels = tl.arange(0, PADDED)
    used = index < (length + chunk - 1) // chunk
    place = (row * tl.num_programs(0) + head) * splits + index
    logs = tl.load(sums + place, mask=used, other=float("-inf"))
    most = tl.where(length > 0, tl.max(logs, 0), 0.0)
    weights = tl.where(used, tl.exp2(logs - most), 0.0)
    total = tl.where(length > 0, tl.sum(weights, 0), 1.0)
    read = used[:, None] & (channels < WIDTH)[None, :]
    seen = tl.load(parts + place[:, None] * WIDTH + channels[None, :], mask=read, other=0.0)
    joined = tl.sum(seen * weights[:, None], 0) / total
    at = out + row * out_row + head * out_head + channels
    tl.store(at, joined.to(out.dtype.element_ty), mask=channels < WIDTH)


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
    qkv, cos, sin, rows, positions, keys, values, out, qkv_row, cos_row, sin_row,
    k_slot, k_head, k_token, v_slot, v_head, v_token,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr, TURNED: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """A few heads of one row: queries rotated, keys rotated and put into the cache beside values."""
    row = tl.program_id(0).to(tl.int64)
    heads = (tl.program_id(1) * TOGETHER + tl.arange(0, TOGETHER)).to(tl.int64)
    channels = tl.arange(0, PADDED)
    slot = tl.load(rows + row).to(tl.int64)
    position = tl.where(slot < 0, 0, tl.load(positions + row).to(tl.int64))
    read = (heads < HEADS)[:, None] & (channels < WIDTH)[None, :]
    turning = channels < TURNED
    cosine = tl.load(cos + position * cos_row + channels, mask=turning, other=1.0).to(tl.float32)
    sine = tl.load(sin + position * sin_row + channels, mask=turning, other=0.0).to(tl.float32)
    at = qkv + row * qkv_row + heads[:, None] * WIDTH
    q = _turned(at, channels, read, cosine, sine, TURNED)
    k = _turned(at + HEADS * WIDTH, channels, read, cosine, sine, TURNED)
    v = tl.load(at + 2 * HEADS * WIDTH + channels[None, :], mask=read, other=0.0)
    tl.store(out + (row * HEADS + heads[:, None]) * WIDTH + channels[None, :], q, mask=read)
    if slot >= 0:
        k_at = keys + slot * k_slot + heads[:, None] * k_head + position * k_token + channels[None, :]
        v_at = values + slot * v_slot + heads[:, None] * v_head + position * v_token + channels[None, :]
        tl.store(k_at, k.to(keys.dtype.element_ty), mask=read)
        tl.store(v_at, v.to(values.dtype.element_ty), mask=read)


INTERPRETED = INSTALLED and type(_attend).__name__ == "InterpretedFunction"
_DOT_TYPES = {}
if INSTALLED:
    _DOT_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
if INTERPRETED:
    _DOT_TYPES[torch.bfloat16] = tl.float32  # the interpreter takes bfloat16 for whole numbers when it multiplies
