"""Attention within each tile of the vision tower in float32: every token sees every other, head by head.

Keys are turned into panels of 16 tokens and values into panels of 16 channels, so that both products are one loop over
contiguous memory, four rows at a time. Sums have one order whatever other tiles there are. Naive twin: torch's
`scaled_dot_product_attention`.
"""

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import numpy as np
import torch
from numba import carray
from torch import Tensor

from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.linear import crew
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.panels import (
    PANEL_BYTES,
    multiply_panels,
    part_into_panels,
    turn_to_panels,
)
from model.network.compiled.loops.rows import softmax
from model.network.compiled.loops.sizes import PANEL, ROWS
from model.network.compiled.products import share


@compiled
def attend_head(queries, keys, values, stride, tokens, width, out, out_stride, room):
    """Attend from one head of one tile's tokens to all of them; `room` is as large as `room_floats` says."""
    count = (tokens + PANEL - 1) // PANEL
    key_panels, scores = room, room + count * width * PANEL_BYTES
    value_panels = scores + ROWS * count * PANEL_BYTES
    scales = value_panels + tokens * width * 4
    factors = carray(floats_at(scales), (2 * ROWS,))
    turn_to_panels(keys, stride, tokens, width, key_panels)
    part_into_panels(values, stride, tokens, width, value_panels)
    for row in range(ROWS):
        factors[row] = np.float32(1.0) / np.sqrt(np.float32(width))
    for block in range(0, tokens, ROWS):
        first = min(block, tokens - ROWS)  # the last rows are computed once more where fewer than four are left
        multiply_panels(queries + first * stride, stride, key_panels, width, count, scales, scores, count * PANEL_BYTES)
        for row in range(ROWS):
            factors[ROWS + row] = np.float32(1.0) / softmax(scores + row * count * PANEL_BYTES, tokens)
        multiply_panels(
            scores, count * PANEL_BYTES, value_panels, tokens, width // PANEL, scales + 4 * ROWS,
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
        attend_head(queries, queries + row, queries + 2 * row, 3 * row, tokens, width, seen, row, room)


def room_floats(tokens: int, width: int) -> int:
    """Return how many floats of room a head of this width needs."""
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
    size = room_floats(tokens, width)
    rooms = torch.empty(together.size, size)

    def work(thread: int) -> None:
        ready(
            qkv.data_ptr(), out.data_ptr(), tiles, tokens, heads, width, rooms.data_ptr(), 4 * size, thread,
            together.size,
        )  # fmt: skip

    together.run(work)
    return out
