"""Attention of one query per row over keys and values in place, and their append: self- and cross-attention alike.

Keys and values are read once for all rows that look at the same slot, tile by tile, so that what is read is still in
the core's cache for the next row. A row's sums have one order whatever other rows there are. Called by compiled code
alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import numpy as np
from numba import carray

from model.network.compiled.compilation.jit import compiled
from model.network.compiled.loops.numbers import bits_of, floats_at, words_at
from model.network.compiled.loops.reading import scores_of_bf16, scores_of_floats, weighted_bf16, weighted_floats
from model.network.compiled.loops.rows import softmax

# Columns of a table of memories: keys and values [slots, H, tokens, d]; strides in bytes.
KEYS, VALUES, SLOT_STRIDE, HEAD_STRIDE, TOKEN_STRIDE, HEADS, WIDTH, IS_FLOAT32 = range(8)
MEMORY_COLUMNS = 8
_TILE = 64  # tokens
_TOGETHER = 8  # keys, whose scores one loop computes; the last fewer are computed one by one


@compiled
def _part(source, target, width, is_float32):
    """Copy a query [width] in the order in which keys are read."""
    x, y = carray(floats_at(source), (width,)), carray(floats_at(target), (width,))
    for i in range(width):
        y[i] = x[i] if is_float32 else x[i // 16 * 16 + i % 8 * 2 + i // 8 % 2]


@compiled
def _finish(source, target, width, is_float32, divisor):
    """Copy sums [width] back into the order of channels, divided."""
    x, y = carray(floats_at(source), (width,)), carray(floats_at(target), (width,))
    for i in range(width):
        y[i] = (x[i] if is_float32 else x[i // 16 * 16 + i % 2 * 8 + i // 2 % 8]) / divisor


@compiled
def _single_scores(query, keys, stride, width, count, scale, out, is_float32):
    """Write the scores of fewer keys than are multiplied together."""
    for token in range(count):
        if is_float32:
            scores_of_floats(query, keys + token * stride, 0, width, 1, scale, out)
        else:
            scores_of_bf16(query, keys + token * stride, 0, width, 1, scale, out)
        out += 4


@compiled
def _score_tile(query, keys, stride, width, count, scale, out, is_float32):
    eights = count // _TOGETHER
    if is_float32:
        scores_of_floats(query, keys, stride, width, eights, scale, out)
    else:
        scores_of_bf16(query, keys, stride, width, eights, scale, out)
    done = eights * _TOGETHER
    _single_scores(query, keys + done * stride, stride, width, count - done, scale, out + 4 * done, is_float32)


@compiled
def _begin(query, own, width, is_float32):
    """Copy a query to where its row works, and clear its sums."""
    _part(query, own, width, is_float32)
    sums = carray(floats_at(own + 4 * width), (width,))
    for i in range(width):
        sums[i] = 0


@compiled
def attend(memory, slot, head, tokens, scale, members, queries, stride, scratch):
    """Attend from one head of some rows to one slot, and write what they see over their queries.

    Args:
        memory: a row of the table of memories.
        slot: the slot.
        head: the head.
        tokens: how many of the slot's are seen, at least one.
        scale: of the scores.
        members: numbers of the rows, int64.
        queries: where row 0 has its query of head 0, float32 [H, d].
        stride: bytes from one row's queries to the next one's.
        scratch: room for this thread: floats [rows, tokens + 8 + 2 d].
    """
    width, is_float32, token_bytes = memory[WIDTH], memory[IS_FLOAT32] == 1, memory[TOKEN_STRIDE]
    offset = slot * memory[SLOT_STRIDE] + head * memory[HEAD_STRIDE]
    keys, values = memory[KEYS] + offset, memory[VALUES] + offset
    room = 4 * (tokens + _TOGETHER + 2 * width)
    place = head * width * 4
    for number in range(len(members)):
        _begin(queries + members[number] * stride + place, scratch + number * room, width, is_float32)
    for first in range(0, tokens, _TILE):
        count = min(tokens - first, _TILE)
        for number in range(len(members)):
            own = scratch + number * room
            at = own + 8 * width + 4 * first
            _score_tile(own, keys + first * token_bytes, token_bytes, width, count, scale, at, is_float32)
    for number in range(len(members)):
        own = scratch + number * room
        # The query is of no more use: what its weights' sum must be divided by goes there.
        carray(floats_at(own), (1,))[0] = softmax(own + 8 * width, tokens)
    for first in range(0, tokens, _TILE):
        count = min(tokens - first, _TILE)
        for number in range(len(members)):
            own = scratch + number * room
            weights, at = own + 8 * width + 4 * first, values + first * token_bytes
            if is_float32:
                weighted_floats(weights, at, token_bytes, width, count, own + 4 * width)
            else:
                weighted_bf16(weights, at, token_bytes, width, count, own + 4 * width)
    for number in range(len(members)):
        own = scratch + number * room
        divisor = carray(floats_at(own), (1,))[0]
        _finish(own + 4 * width, queries + members[number] * stride + place, width, is_float32, divisor)


@compiled
def rotate(address, width, turned, cos, sin):
    """Rotate the first channels of a head [width] in place, in half-split form, by angles' cos and sin [turned]."""
    x, half = carray(floats_at(address), (width,)), turned // 2
    c, s = carray(floats_at(cos), (turned,)), carray(floats_at(sin), (turned,))
    for i in range(half):
        first, second = x[i], x[i + half]
        x[i] = first * c[i] - second * s[i]
        x[i + half] = second * c[i + half] + first * s[i + half]


@compiled
def keep(source, target, width, is_float32):
    """Copy a key or a value [width] into the cache, rounded to its kind."""
    x = carray(floats_at(source), (width,))
    if is_float32:
        y = carray(floats_at(target), (width,))
        for i in range(width):
            y[i] = x[i]
    else:
        z = carray(words_at(target), (width,))
        for i in range(width):
            bits = bits_of(x[i])
            even = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            z[i] = np.uint16(even) if x[i] == x[i] else np.uint16(0x7FC0)
