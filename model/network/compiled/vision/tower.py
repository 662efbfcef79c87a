"""Layers of a small vision tower on one tile after another, which stays in a core's cache from the first to the last.

What it computes is `VisionTower._encode` behind the embeddings, in float32. Weights are panels of 16 outputs. A tile's
rows are filled up to a multiple of four, and what the added ones come to is never read by the others. Sums have one
order: a tile gives the same features alone and among others. Compiled code; called by `compiled_tower` alone.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from numba import carray

from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.panels import PANEL_BYTES, multiply_four_rows
from model.network.compiled.loops.rows import activate, layer_norm
from model.network.compiled.loops.sizes import PANEL, ROWS
from model.network.compiled.products import share
from model.network.compiled.vision.tower_attention import attend_head, room_floats

# Columns of the table of layers [layers, LAYER_COLUMNS]: addresses of weights and biases.
NORM1, NORM1_BIAS, QKV, QKV_BIAS, OUT, OUT_BIAS, NORM2, NORM2_BIAS, FC1, FC1_BIAS, FC2, FC2_BIAS = range(12)
LAYER_COLUMNS = 12
_TOGETHER = 72  # rows between the feed-forward's two products


def _wide_floats(rows: int, width: int, inner: int) -> int:
    """Return how many floats a tile's widest rows take: queries, keys and values, or some of the feed-forward's."""
    return max(rows * 3 * width, min(rows, _TOGETHER) * inner)


_wide = compiled(_wide_floats)


@compiled
def _linear(x, inputs, rows, weights, bias, outputs, out, added):
    """Multiply rows [rows, inputs], a multiple of four, by weights and write [rows, outputs], or add to it."""
    for panel in range(outputs // PANEL):
        at = weights + panel * inputs * PANEL_BYTES
        for row in range(0, rows, ROWS):
            multiply_four_rows(
                x + row * inputs * 4, inputs * 4, at, inputs, bias + panel * PANEL_BYTES,
                out + (row * outputs + panel * PANEL) * 4, outputs * 4, added,
            )  # fmt: skip


@compiled
def norm_rows(x, rows, width, weight, bias, eps, out):
    """Normalise rows [rows, width]."""
    for row in range(rows):
        layer_norm(x + row * width * 4, width, weight, bias, eps, out + row * width * 4)


@compiled
def _layer(layer, x, normed, wide, room, tokens, rows, heads, width, inner, activation, eps):
    """Run one layer over a tile's residual stream [rows, width] in place."""
    stride = 3 * width * 4
    norm_rows(x, rows, width, layer[NORM1], layer[NORM1_BIAS], eps, normed)
    _linear(normed, width, rows, layer[QKV], layer[QKV_BIAS], 3 * width, wide, 0)
    for head in range(heads):
        offset = head * (width // heads) * 4
        queries = wide + offset
        attend_head(
            queries, queries + width * 4, queries + 2 * width * 4, stride, tokens, width // heads, normed + offset,
            width * 4, room,
        )  # fmt: skip
    _linear(normed, width, rows, layer[OUT], layer[OUT_BIAS], width, x, 1)
    norm_rows(x, rows, width, layer[NORM2], layer[NORM2_BIAS], eps, normed)
    for first in range(0, rows, _TOGETHER):
        some = min(rows - first, _TOGETHER)
        _linear(normed + first * width * 4, width, some, layer[FC1], layer[FC1_BIAS], inner, wide, 0)
        activate(wide, some * inner, activation)
        _linear(wide, inner, some, layer[FC2], layer[FC2_BIAS], width, x + first * width * 4, 1)


@entry(
    "(int64[:, ::1], int64, int64, int64, int64, int64, int64, int64, int64, float32, int64, int64, float32, int64,"
    " int64, int64, int64)"
)
def encode(
    layers, embedded, out, tiles, tokens, width, heads, inner, activation, eps, last, last_bias, last_eps, rooms,
    room_bytes, thread, threads,
):  # fmt: skip
    """Run all layers and the last norm over this thread's share of tiles.

    Args:
        layers: int64 [layers, LAYER_COLUMNS].
        embedded: the residual stream before the first layer, float32 [tiles, tokens, width].
        out: the normalised last hidden state, likewise.
        tiles: how many.
        tokens: of a tile, at least 4.
        width: of the stream, a multiple of 16.
        heads: how many; their width is a multiple of 16.
        inner: width between the feed-forward's products, a multiple of 16.
        activation: a code of `rows`.
        eps: of the layers' norms.
        last: weight of the last norm.
        last_bias: its bias.
        last_eps: its eps.
        rooms: room for each thread.
        room_bytes: of one thread's.
        thread: which thread this is.
        threads: how many there are.
    """
    rows = (tokens + ROWS - 1) // ROWS * ROWS
    x = rooms + thread * room_bytes
    normed = x + rows * width * 4
    wide = normed + rows * width * 4
    room = wide + _wide(rows, width, inner) * 4
    for tile in range(share(tiles, thread, threads), share(tiles, thread + 1, threads)):
        source = carray(floats_at(embedded + tile * tokens * width * 4), (tokens * width,))
        stream = carray(floats_at(x), (rows * width,))
        for i in range(tokens * width):
            stream[i] = source[i]
        for i in range(tokens * width, rows * width):
            stream[i] = 0
        for number in range(len(layers)):
            _layer(layers[number], x, normed, wide, room, tokens, rows, heads, width, inner, activation, eps)
        norm_rows(x, tokens, width, last, last_bias, last_eps, out + tile * tokens * width * 4)


def tile_floats(tokens: int, width: int, heads: int, inner: int) -> int:
    """Return how many floats of room a thread needs."""
    rows = -(-tokens // ROWS) * ROWS
    return 2 * rows * width + _wide_floats(rows, width, inner) + room_floats(tokens, width // heads)
