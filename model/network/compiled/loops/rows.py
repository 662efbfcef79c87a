"""Work on single rows between products: layer norm, rounding to int8, activations, softmax.

Sums of floats have one order for each length, so a row says the same whatever stands beside it. Called by compiled code
alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import numpy as np
from numba import carray

from model.network.compiled.compilation.jit import compiled, in_any_order, of_numbers
from model.network.compiled.loops.numbers import (
    bytes_at,
    exp,
    floats_at,
    gelu,
    gelu_tanh,
    ints_at,
    nearest,
    quick_gelu,
    shorts_at,
    silu,
)
from model.network.compiled.packing import GROUP

GELU, GELU_TANH, QUICK_GELU, SILU = 1, 2, 3, 4
ACTIVATION_CODES = {
    "gelu": GELU, "gelu_new": GELU_TANH, "gelu_pytorch_tanh": GELU_TANH, "quick_gelu": QUICK_GELU, "silu": SILU,
}  # fmt: skip
_TINY, _LEVELS = np.float32(1e-8), np.float32(127)


@in_any_order
def sum_of(x, shift):
    """Return the sum of floats less a number."""
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] - shift
    return total


@in_any_order
def squares_of(x, shift):
    """Return the sum of the squares of floats less a number."""
    total = np.float32(0)
    for i in range(len(x)):
        total += (x[i] - shift) * (x[i] - shift)
    return total


@compiled
def layer_norm(source, width, weight, bias, eps, target):
    """Normalise a row of float32 [width] at `source` into `target`."""
    x, y = carray(floats_at(source), (width,)), carray(floats_at(target), (width,))
    w, b = carray(floats_at(weight), (width,)), carray(floats_at(bias), (width,))
    mean = sum_of(x, np.float32(0)) / np.float32(width)
    factor = np.float32(1) / np.sqrt(squares_of(x, mean) / np.float32(width) + eps)
    for i in range(width):
        y[i] = (x[i] - mean) * factor * w[i] + b[i]


@of_numbers
def _largest(x):
    largest = np.float32(0)
    for i in range(len(x)):
        size = abs(x[i])
        largest = size if size > largest else largest
    return largest


@compiled
def quantise(source, width, padded, x8, x16, scale, total, groups):
    """Round a row of float32 [width] to int8 with a scale, as int8 [padded] and as int16, and add it up.

    Args:
        source: where it is.
        width: of the row.
        padded: of the rounded row, a multiple of the group; the rest is zeros.
        x8: where it goes.
        x16: where it goes as numbers of 16 bits.
        scale: where its scale goes, a float32; not a number if one of the row is none.
        total: where the sum of the rounded numbers goes, int32.
        groups: where the sum of each group goes, int32.
    """
    x = carray(floats_at(source), (width,))
    narrow, wide = carray(bytes_at(x8), (padded,)), carray(shorts_at(x16), (padded,))
    finite = np.isfinite(sum_of(x, np.float32(0)))
    level = max(_largest(x) if finite else _TINY, _TINY) / _LEVELS
    for i in range(width):
        rounded = np.int32(nearest(x[i] / level))
        narrow[i] = np.int8(rounded)
        wide[i] = np.int16(rounded)
    for i in range(width, padded):
        narrow[i] = 0
        wide[i] = 0
    sums, whole = carray(ints_at(groups), (padded // GROUP,)), np.int32(0)
    for group in range(padded // GROUP):
        part = np.int32(0)
        for i in range(group * GROUP, group * GROUP + GROUP):
            part += np.int32(wide[i])
        sums[group] = part
        whole += part
    carray(ints_at(total), (1,))[0] = whole
    carray(floats_at(scale), (1,))[0] = level if finite else np.float32(np.nan)


@compiled
def activate(address, count, code):
    """Apply an activation in place to floats [count]."""
    x = carray(floats_at(address), (count,))
    if code == GELU:
        for i in range(count):
            x[i] = gelu(x[i])
    elif code == GELU_TANH:
        for i in range(count):
            x[i] = gelu_tanh(x[i])
    elif code == QUICK_GELU:
        for i in range(count):
            x[i] = quick_gelu(x[i])
    elif code == SILU:
        for i in range(count):
            x[i] = silu(x[i])


@of_numbers
def _largest_signed(x):
    largest = x[0]
    for i in range(len(x)):
        largest = x[i] if x[i] > largest else largest
    return largest


@in_any_order
def softmax(address, count):
    """Turn scores [count] at least one, into weights in place, and return what their sum must be divided by."""
    x = carray(floats_at(address), (count,))
    finite = np.isfinite(sum_of(x, np.float32(0)))
    largest = _largest_signed(x) if finite else np.float32(0)
    total = np.float32(0)
    for i in range(count):
        weight = exp(x[i] - largest)
        total += weight
        x[i] = weight
    return total if finite else np.float32(np.nan)
