"""Layers of a large vision tower on all tiles at once, whose tokens the threads divide among themselves.

What it computes is `VisionTower._encode` behind the embeddings, in float32. A thread takes its tokens from one
attention to the next, some at a time, so that threads wait for each other twice a layer: before and after attention,
for which they divide tiles and heads. A tile gives the same features alone and among others. Compiled code; called by
`compiled_tower` alone.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from numba import carray

from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.panels import turn_to_panels
from model.network.compiled.loops.rows import activate, layer_norm
from model.network.compiled.loops.sizes import PANEL, ROWS
from model.network.compiled.panel_products import multiply_rows
from model.network.compiled.products import share
from model.network.compiled.threads import barrier
from model.network.compiled.vision.tower import (
    FC1,
    FC1_BIAS,
    FC2,
    FC2_BIAS,
    NORM1,
    NORM1_BIAS,
    NORM2,
    NORM2_BIAS,
    OUT,
    OUT_BIAS,
    QKV,
    QKV_BIAS,
    norm_rows,
)
from model.network.compiled.vision.tower_attention import attend_head, room_floats

_TOGETHER = 128  # tokens, whose numbers stay in a core's caches from one product to the next


@compiled
def _add_and_norm(x, added, rows, width, weight, bias, eps, normed):
    """Add to the residual stream and normalise it; `normed` may be where `added` is."""
    for row in range(rows):
        at = row * width * 4
        stream, more = carray(floats_at(x + at), (width,)), carray(floats_at(added + at), (width,))
        for i in range(width):
            stream[i] += more[i]
        layer_norm(x + at, width, weight, bias, eps, normed + at)


@compiled
def _after_attention(layer, x, seen, rows, width, inner, activation, eps, sums, wide):
    """Add what tokens have seen to their stream; leave in `sums` what the feed-forward adds."""
    multiply_rows(seen, rows, width, layer[OUT], layer[OUT_BIAS], width, sums)
    _add_and_norm(x, sums, rows, width, layer[NORM2], layer[NORM2_BIAS], eps, sums)
    multiply_rows(sums, rows, width, layer[FC1], layer[FC1_BIAS], inner, wide)
    activate(wide, rows * inner, activation)
    multiply_rows(wide, rows, inner, layer[FC2], layer[FC2_BIAS], width, sums)


@compiled
def _attend(qkv, seen, tiles, tokens, width, heads, room, thread, threads):
    """Attend within each tile: this thread's share of tiles and heads."""
    head_width, row = width // heads, width * 4
    for item in range(share(tiles * heads, thread, threads), share(tiles * heads, thread + 1, threads)):
        first, head = item // heads * tokens, item % heads * head_width * 4
        queries = qkv + first * 3 * row + head
        attend_head(
            queries, queries + row, queries + 2 * row, 3 * row, tokens, head_width, seen + first * row + head, row, room
        )


@entry(
    "(int64[:, ::1], int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, float32, int64, int64,"
    " float32, int64, int64, int64, int64, int64)"
)
def encode(
    layers, x, qkv, seen, out, tiles, tokens, width, heads, inner, activation, eps, last, last_bias, last_eps, rooms,
    room_bytes, counter, thread, threads,
):  # fmt: skip
    """Run all layers and the last norm over the tokens of some tiles, together with the other threads.

    What has the name of an argument of `tower.encode` is the same. `x` is its `embedded`, and is overwritten. `qkv` is
    room for queries, keys and values, float32 [tiles * tokens, 3 * width]; `seen` for what tokens see, float32
    [tiles * tokens, width]. `counter` is the barrier's.
    """
    rows = tiles * tokens
    takers = min(threads, rows // ROWS)  # each has four rows or more
    begin, end = share(rows, min(thread, takers), takers), share(rows, min(thread + 1, takers), takers)
    blocks = (end - begin + _TOGETHER - 1) // _TOGETHER
    sums = rooms + thread * room_bytes
    wide = sums + _TOGETHER * width * 4
    room = wide + _TOGETHER * inner * 4
    for number in range(len(layers) + 1):
        for block in range(blocks):
            first = begin + share(end - begin, block, blocks)
            count = begin + share(end - begin, block + 1, blocks) - first
            at = first * width * 4
            if number > 0:
                before = layers[number - 1]
                _after_attention(before, x + at, seen + at, count, width, inner, activation, eps, sums, wide)
            if number == len(layers):
                _add_and_norm(x + at, sums, count, width, last, last_bias, last_eps, out + at)
                continue
            layer = layers[number]
            if number > 0:
                _add_and_norm(x + at, sums, count, width, layer[NORM1], layer[NORM1_BIAS], eps, sums)
            else:
                norm_rows(x + at, count, width, layer[NORM1], layer[NORM1_BIAS], eps, sums)
            multiply_rows(sums, count, width, layer[QKV], layer[QKV_BIAS], 3 * width, qkv + 3 * at)
        if number < len(layers):
            barrier(counter, threads)
            _attend(qkv, seen, tiles, tokens, width, heads, room, thread, threads)
            barrier(counter, threads)


@entry("(int64, int64, int64, int64, int64, int64)")
def lay_out(weight, outputs, inputs, panels, thread, threads):
    """Copy this thread's share of weights, float32 [outputs, inputs], into panels [outputs / 16, inputs, 16]."""
    begin, end = share(outputs // PANEL, thread, threads), share(outputs // PANEL, thread + 1, threads)
    panel_bytes = PANEL * inputs * 4
    turn_to_panels(
        weight + begin * panel_bytes, inputs * 4, (end - begin) * PANEL, inputs, panels + begin * panel_bytes
    )


def thread_floats(tokens: int, width: int, heads: int, inner: int) -> int:
    """Return how many floats of room a thread needs."""
    return _TOGETHER * (width + inner) + room_floats(tokens, width // heads)
