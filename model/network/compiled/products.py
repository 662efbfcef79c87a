"""Linear layers on some rows: this thread's share of the outputs, in int8, int4 or float32.

Called by compiled code alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from numba import carray

from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.loops import blocks
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.rows import activate, quantise
from model.network.compiled.packing import BLOCK_OUTPUTS, FLOAT_BITS, GROUP
from model.network.compiled.threads import barrier

# Columns of a table of products, and of one of inputs; all but sizes are addresses.
BITS, OUTPUTS, INPUTS, WEIGHTS, BLOCK_BYTES, SCALES, BIAS = range(7)
PRODUCT_COLUMNS = 7
X8, X16, ROW_SCALES, TOTALS, GROUPS, X32 = range(6)  # X32 is 0 where rows are rounded
INPUT_COLUMNS = 6

_int8_1, _int8_2, _int8_3, _int8_4 = blocks.int8_1, blocks.int8_2, blocks.int8_3, blocks.int8_4
_int4_1, _int4_2, _int4_3, _int4_4 = blocks.int4_1, blocks.int4_2, blocks.int4_3, blocks.int4_4
_floats_1x4, _floats_1, _floats_2, _floats_3, _floats_4 = (
    blocks.floats_1x4, blocks.floats_1, blocks.floats_2, blocks.floats_3, blocks.floats_4,
)  # fmt: skip
_FLOAT_BYTES = 4
_ROWS_TOGETHER = 32  # whose inputs stay in a core's cache while all weights pass by


@compiled
def share(count, thread, threads):
    """Return the first of the things that a thread does of so many; the next thread's first is where it ends."""
    return count * thread // threads


@compiled
def round_row(inputs, source, width, padded, row):
    """Round one row for the products that follow; where they take floats, copy it."""
    if inputs[X32] != 0:
        x = carray(floats_at(source), (width,))
        y = carray(floats_at(inputs[X32] + row * padded * _FLOAT_BYTES), (padded,))
        for i in range(width):
            y[i] = x[i]
        for i in range(width, padded):
            y[i] = 0
        return
    groups = inputs[GROUPS] + row * (padded // GROUP) * 4
    x8, x16 = inputs[X8] + row * padded, inputs[X16] + row * padded * 2
    quantise(source, width, padded, x8, x16, inputs[ROW_SCALES] + row * 4, inputs[TOTALS] + row * 4, groups)


@compiled
def _int8_block(block, outputs, product, inputs, first, rows, out, stride, accumulate):
    k = product[INPUTS]
    weights = product[WEIGHTS] + block * product[BLOCK_BYTES]
    scales, bias = product[SCALES] + outputs * _FLOAT_BYTES, product[BIAS] + outputs * _FLOAT_BYTES
    row = first
    while row < first + rows:
        x8, x16 = inputs[X8] + row * k, inputs[X16] + 2 * row * k
        own, sums = inputs[ROW_SCALES] + row * _FLOAT_BYTES, inputs[TOTALS] + row * 4
        at, left = out + row * stride + outputs * _FLOAT_BYTES, first + rows - row
        if left >= 4:
            _int8_4(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        elif left == 3:
            _int8_3(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        elif left == 2:
            _int8_2(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        else:
            _int8_1(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        row += min(left, 4)


@compiled
def _int4_block(block, outputs, product, inputs, first, rows, out, stride, accumulate):
    k = product[INPUTS]
    weights = product[WEIGHTS] + block * product[BLOCK_BYTES]
    scales, bias = product[SCALES], product[BIAS] + outputs * _FLOAT_BYTES
    row = first
    while row < first + rows:
        x8, x16 = inputs[X8] + row * k, inputs[X16] + 2 * row * k
        own, sums = inputs[ROW_SCALES] + row * _FLOAT_BYTES, inputs[GROUPS] + row * (k // GROUP) * 4
        at, left = out + row * stride + outputs * _FLOAT_BYTES, first + rows - row
        if left >= 4:
            _int4_4(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        elif left == 3:
            _int4_3(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        elif left == 2:
            _int4_2(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        else:
            _int4_1(weights, x8, x16, k, scales, bias, own, sums, at, stride, accumulate)
        row += min(left, 4)


@compiled
def _float_row(begin, end, product, x, out, accumulate):
    """Multiply a single row by blocks of float32 weights, four blocks together."""
    block, block_bytes = begin, product[BLOCK_BYTES]
    while block < end:
        weights, bias = product[WEIGHTS] + block * block_bytes, product[BIAS] + block * BLOCK_OUTPUTS * _FLOAT_BYTES
        at = out + block * BLOCK_OUTPUTS * _FLOAT_BYTES
        if block + 4 <= end:
            _floats_1x4(weights, block_bytes, x, product[INPUTS], bias, at, 0, accumulate)
            block += 4
        else:
            _floats_1(weights, block_bytes, x, product[INPUTS], bias, at, 0, accumulate)
            block += 1


@compiled
def _float_block(block, product, inputs, first, rows, out, stride, accumulate):
    k, block_bytes = product[INPUTS], product[BLOCK_BYTES]
    weights, bias = product[WEIGHTS] + block * block_bytes, product[BIAS] + block * BLOCK_OUTPUTS * _FLOAT_BYTES
    row = first
    while row < first + rows:
        x, left = inputs[X32] + row * k * _FLOAT_BYTES, first + rows - row
        at = out + row * stride + block * BLOCK_OUTPUTS * _FLOAT_BYTES
        if left >= 4:
            _floats_4(weights, block_bytes, x, k, bias, at, stride, accumulate)
        elif left == 3:
            _floats_3(weights, block_bytes, x, k, bias, at, stride, accumulate)
        elif left == 2:
            _floats_2(weights, block_bytes, x, k, bias, at, stride, accumulate)
        else:
            _floats_1(weights, block_bytes, x, k, bias, at, stride, accumulate)
        row += min(left, 4)


@compiled
def multiply(product, inputs, rows, out, stride, accumulate, thread, threads):
    """Multiply rows of inputs by this thread's share of a layer's weights.

    Args:
        product: a row of the table of products.
        inputs: a row of the table of inputs: rows that `round_row` has rounded or copied.
        rows: how many of them.
        out: where the outputs of the first row go, float32.
        stride: bytes from one row's outputs to the next one's.
        accumulate: 1 to add to what is there, 0 to write.
        thread: which thread this is.
        threads: how many there are.

    Returns:
        First output of the share, and where it ends.
    """
    count = product[OUTPUTS] // BLOCK_OUTPUTS
    begin, end = share(count, thread, threads), share(count, thread + 1, threads)
    for first in range(0, rows, _ROWS_TOGETHER):
        some = min(rows - first, _ROWS_TOGETHER)
        if product[BITS] == FLOAT_BITS and some == 1:
            x = inputs[X32] + first * product[INPUTS] * _FLOAT_BYTES
            _float_row(begin, end, product, x, out + first * stride, accumulate)
            continue
        for block in range(begin, end):
            if product[BITS] == 8:
                _int8_block(block, block * BLOCK_OUTPUTS, product, inputs, first, some, out, stride, accumulate)
            elif product[BITS] == FLOAT_BITS:
                _float_block(block, product, inputs, first, some, out, stride, accumulate)
            else:
                _int4_block(block, block * BLOCK_OUTPUTS, product, inputs, first, some, out, stride, accumulate)
    return begin * BLOCK_OUTPUTS, end * BLOCK_OUTPUTS


@compiled
def multiply_activated(product, inputs, rows, out, stride, start, code, thread, threads):
    """Multiply as `multiply` does, with an activation behind the outputs from `start` on."""
    begin, end = multiply(product, inputs, rows, out, stride, 0, thread, threads)
    begin = max(begin, start)
    if begin < end:
        for row in range(rows):
            activate(out + row * stride + begin * _FLOAT_BYTES, end - begin, code)


@entry("(int64[::1], int64[::1], int64, int64, int64, int64, int64, int64, int64)")
def layer(product, inputs, source, width, rows, out, counter, thread, threads):
    """Round rows of float32 [rows, width] at `source` and multiply them, a share of both in each thread."""
    padded = product[INPUTS]
    for row in range(share(rows, thread, threads), share(rows, thread + 1, threads)):
        round_row(inputs, source + row * width * 4, width, padded, row)
    barrier(counter, threads)
    multiply(product, inputs, rows, out, product[OUTPUTS] * _FLOAT_BYTES, 0, thread, threads)
