"""The whole step, a new token in each row of a batch, as each thread runs it: its share of each phase, then a barrier.

What it computes is `Decoder.step`, with linear layers in int8, int4 or float32; several rows may be tokens of one text.
Everything it reads and writes is at addresses in tables of whole numbers, which `steps` fills. Compiled code; called by
`steps` alone.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import numpy as np
from numba import carray

from model.network.compiled.attention import (
    HEAD_STRIDE,
    HEADS,
    IS_FLOAT32,
    KEYS,
    SLOT_STRIDE,
    TOKEN_STRIDE,
    VALUES,
    WIDTH,
    attend,
    keep,
    rotate,
)
from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.loops.numbers import float_of, floats_at
from model.network.compiled.loops.rows import GELU, layer_norm
from model.network.compiled.products import (
    INPUTS,
    OUTPUTS,
    multiply,
    multiply_activated,
    round_row,
    share,
)
from model.network.compiled.prompt_attention import attend_together
from model.network.compiled.threads import barrier

# Columns of the table of layers: numbers of products, norms and memories; CROSS is -1 where no block stands before.
IN, DENSE, FC2, NORM, MEMORY, CROSS, TO_Q, TO_OUT, CROSS_FC1, CROSS_FC2, CROSS_NORM, FF_NORM, CROSS_MEMORY = range(13)
LAYER_COLUMNS = 13
# Places of what there is one of.
STREAM, NORMED, INNER, COUNTER, SCRATCH, SCRATCH_BYTES, EMBEDDING, COS, SIN, TURNED, ACTIVATION, D, HEAD, LAST_NORM = (
    range(14)
)
CONSTANTS = 14
# Columns of the table of norms [norms, 3].
NORM_WEIGHT, NORM_BIAS, NORM_EPS = range(3)
# Rows of the table of the batch [4, B]: token, slot, position; and the rows, those of one image side by side.
TOKENS, SLOTS, POSITIONS, MEMBERS = range(4)


@compiled
def _norm_rows(constants, norm, inputs, rows, padded, thread, threads):
    """Normalise this thread's rows of the residual stream, and round them."""
    width = constants[D]
    for row in range(share(rows, thread, threads), share(rows, thread + 1, threads)):
        source, target = constants[STREAM] + row * width * 4, constants[NORMED] + row * width * 4
        layer_norm(source, width, norm[NORM_WEIGHT], norm[NORM_BIAS], float_of(np.uint32(norm[NORM_EPS])), target)
        round_row(inputs, target, width, padded, row)
    barrier(constants[COUNTER], threads)


@compiled
def _see_image(constants, memory, tokens, stride, batch, groups, thread, threads):
    """Attend from this thread's heads to the images, all rows of one image together."""
    heads = memory[HEADS]
    scratch = constants[SCRATCH] + thread * constants[SCRATCH_BYTES]
    count = len(groups) * heads
    for item in range(share(count, thread, threads), share(count, thread + 1, threads)):
        group, head = item // heads, item % heads
        slot, first, end = groups[group, 0], groups[group, 1], groups[group, 2]
        members, scale = batch[MEMBERS, first:end], float_of(np.uint32(groups[group, 3]))
        if groups[group, 4] == 1:
            attend_together(memory, slot, head, tokens, scale, members, constants[INNER], stride, scratch)
        else:
            attend(memory, slot, head, tokens, scale, members, constants[INNER], stride, scratch)
    barrier(constants[COUNTER], threads)


@compiled
def _see_text(constants, memory, stride, batch, numbers, thread, threads):
    """Rotate and append this thread's new keys, and attend from its heads to each row's own text.

    Rows that are tokens of one text are all appended before any of them is attended to, and each sees itself last.
    """
    heads, width, turned, is_float32 = memory[HEADS], memory[WIDTH], constants[TURNED], memory[IS_FLOAT32] == 1
    scratch = constants[SCRATCH] + thread * constants[SCRATCH_BYTES]
    count = batch.shape[1] * heads
    scale = np.float32(1.0) / np.sqrt(np.float32(width))
    for item in range(share(count, thread, threads), share(count, thread + 1, threads)):
        row, head = item // heads, item % heads
        slot, position = batch[SLOTS, row], batch[POSITIONS, row]
        query = constants[INNER] + row * stride + head * width * 4
        key, value = query + constants[D] * 4, query + constants[D] * 8
        cos, sin = constants[COS] + position * turned * 4, constants[SIN] + position * turned * 4
        rotate(query, width, turned, cos, sin)
        rotate(key, width, turned, cos, sin)
        there = slot * memory[SLOT_STRIDE] + head * memory[HEAD_STRIDE] + position * memory[TOKEN_STRIDE]
        keep(key, memory[KEYS] + there, width, is_float32)
        keep(value, memory[VALUES] + there, width, is_float32)
    barrier(constants[COUNTER], threads)
    for item in range(share(count, thread, threads), share(count, thread + 1, threads)):
        row, head = item // heads, item % heads
        slot, position = batch[SLOTS, row], batch[POSITIONS, row]
        attend(memory, slot, head, position + 1, scale, numbers[row : row + 1], constants[INNER], stride, scratch)
    barrier(constants[COUNTER], threads)


@compiled
def _round_rows(constants, inputs, offset, stride, width, padded, rows, thread, threads):
    """Round this thread's rows of what lies `offset` bytes behind the beginning of the inner rows."""
    for row in range(share(rows, thread, threads), share(rows, thread + 1, threads)):
        round_row(inputs, constants[INNER] + row * stride + offset, width, padded, row)


@compiled
def _cross(constants, layer, products, norms, memories, inputs, batch, groups, tokens, thread, threads):
    """Run a cross-attention block."""
    rows, width, counter = batch.shape[1], constants[D], constants[COUNTER]
    to_q, to_out, fc1, fc2 = (
        products[layer[TO_Q]], products[layer[TO_OUT]], products[layer[CROSS_FC1]], products[layer[CROSS_FC2]],
    )  # fmt: skip
    stride = to_q[OUTPUTS] * 4
    _norm_rows(constants, norms[layer[CROSS_NORM]], inputs[0], rows, to_q[INPUTS], thread, threads)
    multiply(to_q, inputs[0], rows, constants[INNER], stride, 0, thread, threads)
    barrier(counter, threads)
    _see_image(constants, memories[layer[CROSS_MEMORY]], tokens, stride, batch, groups, thread, threads)
    inner = memories[layer[CROSS_MEMORY], HEADS] * memories[layer[CROSS_MEMORY], WIDTH]
    _round_rows(constants, inputs[0], 0, stride, inner, to_out[INPUTS], rows, thread, threads)
    barrier(counter, threads)
    multiply(to_out, inputs[0], rows, constants[STREAM], width * 4, 1, thread, threads)
    barrier(counter, threads)
    _norm_rows(constants, norms[layer[FF_NORM]], inputs[0], rows, fc1[INPUTS], thread, threads)
    stride = fc1[OUTPUTS] * 4
    multiply_activated(fc1, inputs[0], rows, constants[INNER], stride, 0, GELU, thread, threads)
    barrier(counter, threads)
    _round_rows(constants, inputs[1], 0, stride, fc1[OUTPUTS], fc2[INPUTS], rows, thread, threads)
    barrier(counter, threads)
    multiply(fc2, inputs[1], rows, constants[STREAM], width * 4, 1, thread, threads)
    barrier(counter, threads)


@compiled
def _layer(constants, layer, products, norms, memories, inputs, batch, numbers, thread, threads):
    """Run a layer of Phi: attention and feed-forward side by side on one normalised input."""
    rows, width, counter = batch.shape[1], constants[D], constants[COUNTER]
    into, dense, fc2 = products[layer[IN]], products[layer[DENSE]], products[layer[FC2]]
    stride = into[OUTPUTS] * 4
    _norm_rows(constants, norms[layer[NORM]], inputs[0], rows, into[INPUTS], thread, threads)
    multiply_activated(
        into, inputs[0], rows, constants[INNER], stride, 3 * width, constants[ACTIVATION], thread, threads
    )
    barrier(counter, threads)
    _see_text(constants, memories[layer[MEMORY]], stride, batch, numbers, thread, threads)
    _round_rows(constants, inputs[0], 0, stride, width, dense[INPUTS], rows, threads - 1 - thread, threads)
    mlp = into[OUTPUTS] - 3 * width
    _round_rows(constants, inputs[1], 12 * width, stride, mlp, fc2[INPUTS], rows, thread, threads)
    barrier(counter, threads)
    multiply(dense, inputs[0], rows, constants[STREAM], width * 4, 1, thread, threads)
    multiply(fc2, inputs[1], rows, constants[STREAM], width * 4, 1, thread, threads)
    barrier(counter, threads)


@entry(
    "(int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64, int64, int64, int64)"
)
def step(constants, layers, products, norms, memories, inputs, batch, groups, tokens, logits, thread, threads):
    """Append one token of each row: this thread's share of it.

    Args:
        constants: places of what there is one of, int64 [CONSTANTS].
        layers: int64 [layers, LAYER_COLUMNS].
        products: int64 [products, PRODUCT_COLUMNS].
        norms: int64 [norms, 3].
        memories: int64 [memories, MEMORY_COLUMNS].
        inputs: rows for two products at once, int64 [2, INPUT_COLUMNS].
        batch: int64 [4, B].
        groups: image slot, first and last member, the scores' scale as bits, and 1 where the members attend by
            `attend_together`, int64 [images, 5].
        tokens: of an image.
        logits: where they go, float32 [B, outputs of the head].
        thread: which thread this is.
        threads: how many there are.
    """
    rows, width = batch.shape[1], constants[D]
    numbers = np.arange(rows)
    for row in range(share(rows, thread, threads), share(rows, thread + 1, threads)):
        source = carray(floats_at(constants[EMBEDDING] + batch[TOKENS, row] * width * 4), (width,))
        target = carray(floats_at(constants[STREAM] + row * width * 4), (width,))
        for i in range(width):
            target[i] = source[i]
    for number in range(len(layers)):
        layer = layers[number]
        if layer[CROSS] >= 0:
            _cross(constants, layer, products, norms, memories, inputs, batch, groups, tokens, thread, threads)
        _layer(constants, layer, products, norms, memories, inputs, batch, numbers, thread, threads)
    head = products[constants[HEAD]]
    _norm_rows(constants, norms[constants[LAST_NORM]], inputs[0], rows, head[INPUTS], thread, threads)
    multiply(head, inputs[0], rows, logits, head[OUTPUTS] * 4, 0, thread, threads)
