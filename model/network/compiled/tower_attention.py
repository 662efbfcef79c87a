"""Attention within each tile of the vision tower in float32: every token sees every other, head by head.

Keys are turned into panels of 16 tokens and values into panels of 16 channels, so that both products are one loop over
contiguous memory, four rows at a time. Sums have one order whatever other tiles there are. Naive twin: torch's
`scaled_dot_product_attention`.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import numpy as np
import torch
from llvmlite import ir
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from model.network.compiled.emitter import F32, I64, LANES, Emitter, vector
from model.network.compiled.jit import compiled, entry
from model.network.compiled.linear import crew
from model.network.compiled.numbers import floats_at
from model.network.compiled.parts import HEAD_CHANNELS, LEAST_TOKENS
from model.network.compiled.products import share
from model.network.compiled.rows import softmax

PANEL = HEAD_CHANNELS  # columns that a loop computes together
ROWS = LEAST_TOKENS  # likewise rows
_FLOATS = vector(F32, LANES)
_VECTOR_BYTES = 4 * LANES
_PANEL_BYTES = 4 * PANEL


@intrinsic
def _panels(typing_context, a, a_stride, b, k, panels, scales, out, out_stride):
    """Multiply 4 rows of k floats, `a_stride` bytes apart, by panels [panels, k, 16], times a scale for each row."""

    def generate(context, builder, signature, arguments):
        a, a_stride, b, k, panels, scales, out, out_stride = arguments
        e = Emitter(builder)
        sums = [[e.variable(_FLOATS) for _ in range(2)] for _ in range(ROWS)]
        starts = [e.at(a, e.times(a_stride, row)) for row in range(ROWS)]
        with cgutils.for_range(builder, panels, intp=I64) as panel:
            for place in (place for row in sums for place in row):
                builder.store(ir.Constant(_FLOATS, None), place)
            first = e.at(b, builder.mul(panel.index, e.times(k, _PANEL_BYTES)))
            with cgutils.for_range(builder, k, intp=I64) as loop:
                at = e.at(first, e.times(loop.index, _PANEL_BYTES))
                read = [e.load(e.at(at, half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
                for row, start in zip(sums, starts, strict=True):
                    number = e.splat(e.load(e.at(start, e.times(loop.index, 4)), F32))
                    for place, columns in zip(row, read, strict=True):
                        e.fma_to(place, number, columns)
            for number, row in enumerate(sums):
                scale = e.splat(e.load(e.at(scales, 4 * number), F32))
                target = e.at(out, e.times(out_stride, number), e.times(panel.index, _PANEL_BYTES))
                for half, place in enumerate(row):
                    e.store(e.at(target, half * _VECTOR_BYTES), builder.fmul(builder.load(place), scale))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@compiled
def _turn_keys(keys, stride, tokens, width, panels):
    """Copy keys [tokens, width] into panels [tokens / 16, width, 16], the last one filled up with zeros."""
    count = (tokens + PANEL - 1) // PANEL
    target = carray(floats_at(panels), (count, width, PANEL))
    for token in range(tokens):
        key = carray(floats_at(keys + token * stride), (width,))
        for channel in range(width):
            target[token // PANEL, channel, token % PANEL] = key[channel]
    for token in range(tokens, count * PANEL):
        for channel in range(width):
            target[token // PANEL, channel, token % PANEL] = 0


@compiled
def _part_values(values, stride, tokens, width, panels):
    """Copy values [tokens, width] into panels [width / 16, tokens, 16]."""
    target = carray(floats_at(panels), (width // PANEL, tokens, PANEL))
    for token in range(tokens):
        value = carray(floats_at(values + token * stride), (width,))
        for part in range(width // PANEL):
            for channel in range(PANEL):
                target[part, token, channel] = value[part * PANEL + channel]


@compiled
def _attend_head(queries, keys, values, stride, tokens, width, out, out_stride, room):
    """Attend from one head of one tile's tokens to all of them; `room` is as large as `_room_floats` says."""
    count = (tokens + PANEL - 1) // PANEL
    key_panels, scores = room, room + count * width * _PANEL_BYTES
    value_panels = scores + ROWS * count * _PANEL_BYTES
    scales = value_panels + tokens * width * 4
    factors = carray(floats_at(scales), (2 * ROWS,))
    _turn_keys(keys, stride, tokens, width, key_panels)
    _part_values(values, stride, tokens, width, value_panels)
    for row in range(ROWS):
        factors[row] = np.float32(1.0) / np.sqrt(np.float32(width))
    for block in range(0, tokens, ROWS):
        first = min(block, tokens - ROWS)  # the last rows are computed once more where fewer than four are left
        _panels(queries + first * stride, stride, key_panels, width, count, scales, scores, count * _PANEL_BYTES)
        for row in range(ROWS):
            factors[ROWS + row] = np.float32(1.0) / softmax(scores + row * count * _PANEL_BYTES, tokens)
        _panels(
            scores, count * _PANEL_BYTES, value_panels, tokens, width // PANEL, scales + 4 * ROWS,
            out + first * out_stride, out_stride,
        )  # fmt: skip


@entry("(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def attend_tiles(qkv, out, tiles, tokens, heads, width, rooms, room_bytes, thread, threads):
    """Attend within each tile: this thread's share of tiles and heads.

    Args:
        qkv: queries, keys and values, float32 [tiles, tokens, 3, heads, width].
        out: where what is seen goes, float32 [tiles, tokens, heads, width].
        tiles: how many.
        tokens: of a tile, at least 4.
        heads: how many.
        width: of a head, a multiple of 16.
        rooms: room for each thread.
        room_bytes: of one thread's.
        thread: which thread this is.
        threads: how many there are.
    """
    row = heads * width * 4
    count = tiles * heads
    for item in range(share(count, thread, threads), share(count, thread + 1, threads)):
        tile, head = item // heads, item % heads
        queries = qkv + tile * tokens * 3 * row + head * width * 4
        seen = out + tile * tokens * row + head * width * 4
        room = rooms + thread * room_bytes
        _attend_head(queries, queries + row, queries + 2 * row, 3 * row, tokens, width, seen, row, room)


def _room_floats(tokens: int, width: int) -> int:
    count = -(-tokens // PANEL) * PANEL
    return count * width + ROWS * count + tokens * width + 2 * ROWS + PANEL


def attend_within_tiles(qkv: Tensor, tiles: int, heads: int) -> Tensor:
    """Attend within each tile with as many threads as torch computes with.

    Args:
        qkv: queries, keys and values side by side, float32 [tiles * tokens, 3 * heads * width], contiguous.
        tiles: how many; each has at least four tokens.
        heads: how many; their width is a multiple of 16.

    Returns:
        What the tokens see, float32 [tiles * tokens, heads * width].
    """
    assert qkv.dtype == torch.float32
    assert qkv.is_contiguous()
    tokens, width = len(qkv) // tiles, qkv.shape[1] // (3 * heads)
    assert tokens >= ROWS
    assert width % PANEL == 0
    out = torch.empty(len(qkv), heads * width)
    together, ready = crew(), attend_tiles.ready
    size = _room_floats(tokens, width)
    rooms = torch.empty(together.size, size)

    def work(thread: int) -> None:
        ready(
            qkv.data_ptr(), out.data_ptr(), tiles, tokens, heads, width, rooms.data_ptr(), 4 * size, thread,
            together.size,
        )  # fmt: skip

    if together.size == 1:
        work(0)  # two threads may encode at once, each by itself
    else:
        together.run(work)
    return out
