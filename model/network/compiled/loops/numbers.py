"""Floats and whole numbers at addresses, and functions of floats that a compiler can compute eight at a time.

Called by compiled code alone.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from model.network.compiled.compilation.jit import inlined
from model.network.compiled.loops.emitter import F32, I32, Emitter

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP = tuple(
    np.float32(factor)
    for factor in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_ERF_OVER = tuple(
    np.float32(factor)
    for factor in (
        -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
        -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
    )
)  # fmt: skip
_ERF_UNDER = tuple(
    np.float32(factor)
    for factor in (
        -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
        -1.42647390514189e-02,
    )
)  # fmt: skip
ONE, HALF = np.float32(1), np.float32(0.5)
_TANH_FACTOR = np.float32(2 * 0.7978845608028654)  # 2 sqrt(2 / pi)
_TANH_CUBE = np.float32(0.044715)
_ROOT_HALF = np.float32(0.7071067811865476)


def _pointer(element: Any) -> Any:
    @intrinsic
    def at(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(element)))

        return types.CPointer(element)(types.int64), generate

    return at


floats_at, ints_at = _pointer(types.float32), _pointer(types.int32)
bytes_at, shorts_at = _pointer(types.int8), _pointer(types.int16)
octets_at, words_at = _pointer(types.uint8), _pointer(types.uint16)


@intrinsic
def power_of_two(typing_context, exponent):
    """Return 2 ** exponent of a whole number from -126 to 127, as a float32."""

    def generate(context, builder, signature, arguments):
        shifted = builder.shl(builder.add(arguments[0], I32(127)), I32(23))
        return builder.bitcast(shifted, F32)

    return types.float32(types.int32), generate


@intrinsic
def nearest(typing_context, x):
    """Round a float32 to the nearest whole number, to the even one of two."""

    def generate(context, builder, signature, arguments):
        return Emitter(builder).call("llvm.rint.f32", F32, arguments[0])

    return types.float32(types.float32), generate


@intrinsic
def bits_of(typing_context, x):
    """Return the bits of a float32 as an unsigned number."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], I32)

    return types.uint32(types.float32), generate


@intrinsic
def float_of(typing_context, bits):
    """Return the float32 of these bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], F32)

    return types.float32(types.uint32), generate


@inlined
def exp(x):
    """Return e ** x to two units in the last place; what is too small or too large is taken for the last that fits."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    whole = nearest(x * _LOG2_E)
    rest = x - whole * _LN2_HIGH - whole * _LN2_LOW
    series = _EXP[0]
    series = series * rest + _EXP[1]
    series = series * rest + _EXP[2]
    series = series * rest + _EXP[3]
    series = series * rest + _EXP[4]
    series = series * rest + _EXP[5]
    return (series * rest * rest + rest + ONE) * power_of_two(np.int32(whole))


@inlined
def gelu_tanh(x):
    """Return GELU by the hyperbolic tangent: x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))."""
    return x / (ONE + exp(-_TANH_FACTOR * (x + _TANH_CUBE * x * x * x)))


@inlined
def quick_gelu(x):
    """Return x sigmoid(1.702 x)."""
    return x / (ONE + exp(np.float32(-1.702) * x))


@inlined
def silu(x):
    """Return the activation x sigmoid(x)."""
    return x / (ONE + exp(-x))


@inlined
def gelu(x):
    """Return GELU by the error function, a quotient of two polynomials."""
    z = min(max(x * _ROOT_HALF, np.float32(-4.0)), np.float32(4.0))
    square = z * z
    over = _ERF_OVER[0]
    over = over * square + _ERF_OVER[1]
    over = over * square + _ERF_OVER[2]
    over = over * square + _ERF_OVER[3]
    over = over * square + _ERF_OVER[4]
    over = over * square + _ERF_OVER[5]
    over = over * square + _ERF_OVER[6]
    under = _ERF_UNDER[0]
    under = under * square + _ERF_UNDER[1]
    under = under * square + _ERF_UNDER[2]
    under = under * square + _ERF_UNDER[3]
    under = under * square + _ERF_UNDER[4]
    return HALF * x * (ONE + z * over / under)
