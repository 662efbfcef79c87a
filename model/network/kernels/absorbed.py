"""Attention of one query per row and head over an image's features themselves, split over tokens.

A program holds 16 heads of a row. It cuts the channels of the features into as many slices as it has warps: each warp
multiplies its own slice, for scores and again for what is seen, so that a feature is read from memory once, and sums
of scores are all that warps exchange. Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Kernel arguments have no types that mypy knows; only those that the Triton compiler reads are annotated.

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from model.network.kernels.combine import LEAST_CHUNK, Scratch, chunk_of, combine, length_of
from model.network.kernels.early import launch_options, wait_for_inputs
from model.network.kernels.groups import DecodeGroups
from model.network.kernels.triton_import import DOT_TYPES, LOG2_E, jit, tl, triton

HEADS_TOGETHER = 16  # the least number of queries that a tensor core multiplies at once
PROGRAMS_PER_PROCESSOR = 1  # that fit an H100, by their shared memory, for the 1280 channels of ViT-H/14
_SLICES = 8  # warps
_TENSOR_CORE_BYTES = 2  # of a number; wider ones need registers that a pipeline would take
_SUM_BYTES = 4
_LEAST_CHANNELS = 16  # of a slice, for a tensor core


def slices_of(width: int) -> tuple[int, int]:
    """Split a width into two parts for each warp's slice, both powers of two that together cover it; 0 is no part.

    >>> slices_of(1280), slices_of(128), slices_of(1100)
    ((128, 32), (16, 0), (128, 16))
    """
    first = max(_LEAST_CHANNELS, (1 << (width.bit_length() - 1)) // _SLICES)
    rest = width - first * _SLICES
    return first, max(_LEAST_CHANNELS, (1 << (rest - 1).bit_length()) // _SLICES) if rest > 0 else 0


class AbsorbedTile(NamedTuple):
    """Tokens that a program reads together, and stages of the pipeline that reads them."""

    tokens: int
    stages: int


def tile_of(width: int, item_bytes: int, shared_bytes: int) -> AbsorbedTile:
    """Return the largest tile that fits shared memory, beside queries and what warps exchange.

    >>> tile_of(1280, 2, 227 * 1024), tile_of(1280, 2, 163 * 1024), tile_of(1280, 2, 99 * 1024)
    (AbsorbedTile(tokens=32, stages=3), AbsorbedTile(tokens=16, stages=3), AbsorbedTile(tokens=16, stages=2))
    """
    row_bytes = sum(slices_of(width)) * _SLICES * item_bytes
    tiles = (AbsorbedTile(32, 3), AbsorbedTile(16, 3), AbsorbedTile(16, 2)) if item_bytes == _TENSOR_CORE_BYTES else ()
    for tile in tiles:
        read = (tile.stages - 1) * tile.tokens * row_bytes
        if read + HEADS_TOGETHER * (row_bytes + _SLICES * tile.tokens * _SUM_BYTES) <= shared_bytes:
            return tile
    return AbsorbedTile(16, 1)


def absorbed_attention(
    qk: Tensor, features: Tensor, groups: DecodeGroups, scale: float, out: Tensor, splits: int, tile: AbsorbedTile
) -> None:
    """Launch attention over features; see `model.network.decode.attention.absorbed_attention`."""
    batch, heads, width = qk.shape
    first, second = slices_of(width)
    scratch = Scratch.of(out, splits)
    _attend[(triton.cdiv(heads, HEADS_TOGETHER), splits, batch)](
        qk, features, out, scratch.parts, scratch.sums, groups.row_slot, features.shape[1], scale * LOG2_E, heads,
        *qk.stride()[:2], *features.stride()[:2], *out.stride()[:2], WIDTH=width, SLICES=_SLICES, FIRST=first,
        SECOND=second, EVEN=width == (first + second) * _SLICES, LEAST=LEAST_CHUNK, HEADS=HEADS_TOGETHER,
        TOKENS=tile.tokens, SPLIT=splits > 1, DOT=DOT_TYPES[qk.dtype], num_warps=_SLICES, num_stages=tile.stages,
        **launch_options(qk.device),
    )  # fmt: skip
    if splits > 1:
        combine(scratch, out, groups.row_slot, None, features.shape[1])


@jit
def _inside(outer, channels, WIDTH: tl.constexpr, EVEN: tl.constexpr):
    """Return the mask of the channels that exist in a three-dimensional tile, where `outer` holds."""
    inside = outer
    if not EVEN:
        inside = outer & (channels < WIDTH)
    return inside


@jit
def _attend(
    qk, features, out, parts, sums, row_slot, tokens, scale, heads_of_row,
    q_row, q_head, f_slot, f_token, out_row, out_head,
    WIDTH: tl.constexpr, SLICES: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr, EVEN: tl.constexpr,
    LEAST: tl.constexpr, HEADS: tl.constexpr, TOKENS: tl.constexpr, SPLIT: tl.constexpr, DOT: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Attend with 16 heads of a row to one split of its image; axes of tiles are slice, head or token, channel."""
    wait_for_inputs(EARLY)
    row = tl.program_id(2).to(tl.int64)
    slot = tl.load(row_slot + row)
    length = length_of(slot, row_slot, tokens, False)
    start = 0
    end = length
    if SPLIT:
        chunk = chunk_of(length, tl.num_programs(1), LEAST)
        start = tl.program_id(1) * chunk
        end = tl.minimum(start + chunk, length)
        if start >= length:
            return
    heads = (tl.program_id(0) * HEADS + tl.arange(0, HEADS)).to(tl.int64)
    slices = tl.arange(0, SLICES)[:, None, None]
    channels = slices * FIRST + tl.arange(0, FIRST)[None, None, :]
    more = SLICES * FIRST + slices * SECOND + tl.arange(0, SECOND if SECOND else 1)[None, None, :]
    real = (heads < heads_of_row)[None, :, None]
    q_at = qk + row * q_row + heads[None, :, None] * q_head
    query = tl.load(q_at + channels, mask=_inside(real, channels, WIDTH, EVEN), other=0.0).to(DOT)
    read = (start + tl.arange(0, TOKENS)).to(tl.int64)[None, :, None]
    f_at = features + slot.to(tl.int64) * f_slot + read * f_token
    first_at = f_at + channels
    if SECOND:
        query2 = tl.load(q_at + more, mask=_inside(real, more, WIDTH, EVEN), other=0.0).to(DOT)
        second_at = f_at + more
        seen2 = tl.zeros([SLICES, HEADS, SECOND], tl.float32)
    best = tl.full([HEADS], float("-inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    seen = tl.zeros([SLICES, HEADS, FIRST], tl.float32)
    for begin in range(start, end, TOKENS):
        filled = tl.arange(0, TOKENS) < end - begin
        there = filled[None, :, None]
        f = tl.load(first_at, mask=_inside(there, channels, WIDTH, EVEN), other=0.0).to(DOT)
        scores = tl.dot(query, tl.permute(f, (0, 2, 1)), input_precision="ieee")
        if SECOND:
            f2 = tl.load(second_at, mask=_inside(there, more, WIDTH, EVEN), other=0.0).to(DOT)
            scores = tl.dot(query2, tl.permute(f2, (0, 2, 1)), scores, input_precision="ieee")
        scores = tl.where(filled[None, :], tl.sum(scores, 0) * scale, float("-inf"))
        top = tl.maximum(best, tl.max(scores, 1))
        weights = tl.exp2(scores - top[:, None])
        fade = tl.exp2(best - top)
        total = total * fade + tl.sum(weights, 1)
        spread = tl.broadcast_to(weights.to(DOT)[None, :, :], (SLICES, HEADS, TOKENS))
        seen = tl.dot(spread, f, seen * fade[None, :, None], input_precision="ieee")
        first_at += TOKENS * f_token
        if SECOND:
            seen2 = tl.dot(spread, f2, seen2 * fade[None, :, None], input_precision="ieee")
            second_at += TOKENS * f_token
        best = top
    total = tl.where(length > 0, total, 1.0)
    part = 1.0 / total[None, :, None]
    if SPLIT:
        place = (row * heads_of_row + heads) * tl.num_programs(1) + tl.program_id(1)
        tl.store(sums + place, best + tl.log2(total), mask=heads < heads_of_row)
        at = parts + place[None, :, None] * WIDTH
    else:
        at = out + row * out_row + heads[None, :, None] * out_head
    tl.store(at + channels, (seen * part).to(at.dtype.element_ty), mask=_inside(real, channels, WIDTH, EVEN))
    if SECOND:
        tl.store(at + more, (seen2 * part).to(at.dtype.element_ty), mask=_inside(real, more, WIDTH, EVEN))
