"""Products of rows with panels: 16 columns whose numbers lie side by side, four rows at a time, float32.

A panel stays in a core's nearest cache while rows pass by, and eight sums at once keep its adders busy. Sums have one
order however many rows and panels there are. Called by compiled code alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from llvmlite import ir
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic

from model.network.compiled.emitter import F32, I64, LANES, Emitter, vector
from model.network.compiled.jit import compiled
from model.network.compiled.numbers import floats_at
from model.network.compiled.parts import HEAD_CHANNELS, LEAST_TOKENS

PANEL = HEAD_CHANNELS  # columns that a loop computes together
ROWS = LEAST_TOKENS  # likewise rows
PANEL_BYTES = 4 * PANEL
_FLOATS = vector(F32, LANES)
_VECTOR_BYTES = 4 * LANES


@intrinsic
def multiply_panels(typing_context, a, a_stride, b, k, panels, scales, out, out_stride):
    """Multiply 4 rows of k floats, `a_stride` bytes apart, by panels [panels, k, 16], times a scale for each row."""

    def generate(context, builder, signature, arguments):
        a, a_stride, b, k, panels, scales, out, out_stride = arguments
        e = Emitter(builder)
        sums = [[e.variable(_FLOATS) for _ in range(2)] for _ in range(ROWS)]
        starts = [e.at(a, e.times(a_stride, row)) for row in range(ROWS)]
        with cgutils.for_range(builder, panels, intp=I64) as panel:
            for place in (place for row in sums for place in row):
                builder.store(ir.Constant(_FLOATS, None), place)
            first = e.at(b, builder.mul(panel.index, e.times(k, PANEL_BYTES)))
            with cgutils.for_range(builder, k, intp=I64) as loop:
                at = e.at(first, e.times(loop.index, PANEL_BYTES))
                read = [e.load(e.at(at, half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
                for row, start in zip(sums, starts, strict=True):
                    number = e.splat(e.load(e.at(start, e.times(loop.index, 4)), F32))
                    for place, columns in zip(row, read, strict=True):
                        e.fma_to(place, number, columns)
            for number, row in enumerate(sums):
                scale = e.splat(e.load(e.at(scales, 4 * number), F32))
                target = e.at(out, e.times(out_stride, number), e.times(panel.index, PANEL_BYTES))
                for half, place in enumerate(row):
                    e.store(e.at(target, half * _VECTOR_BYTES), builder.fmul(builder.load(place), scale))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def multiply_four_rows(typing_context, a, a_stride, panel, k, bias, out, out_stride, added):
    """Multiply 4 rows of k floats by one panel [k, 16], plus biases [16]; 1 to add it to what is there."""

    def generate(context, builder, signature, arguments):
        a, a_stride, panel, k, bias, out, out_stride, added = arguments
        e = Emitter(builder)
        sums = [[e.variable(_FLOATS) for _ in range(2)] for _ in range(ROWS)]
        starts = [e.at(a, e.times(a_stride, row)) for row in range(ROWS)]
        for place in (place for row in sums for place in row):
            builder.store(ir.Constant(_FLOATS, None), place)
        with cgutils.for_range(builder, k, intp=I64) as loop:
            at = e.at(panel, e.times(loop.index, PANEL_BYTES))
            read = [e.load(e.at(at, half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
            for row, start in zip(sums, starts, strict=True):
                number = e.splat(e.load(e.at(start, e.times(loop.index, 4)), F32))
                for place, columns in zip(row, read, strict=True):
                    e.fma_to(place, number, columns)
        biases = [e.load(e.at(bias, half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
        is_added = builder.icmp_signed("!=", added, e.number(0))
        with builder.if_else(is_added) as branches:
            for branch, adds in zip(branches, (True, False), strict=True):
                with branch:
                    for number, row in enumerate(sums):
                        for half, place in enumerate(row):
                            target = e.at(out, e.times(out_stride, number), half * _VECTOR_BYTES)
                            value = builder.fadd(builder.load(place), biases[half])
                            e.store(target, builder.fadd(value, e.load(target, _FLOATS)) if adds else value)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@compiled
def turn_to_panels(source, stride, rows, width, panels):
    """Copy rows [rows, width], `stride` bytes apart, into panels [rows / 16, width, 16], of which each row is a column.

    The last panel is filled up with zeros.
    """
    count = (rows + PANEL - 1) // PANEL
    target = carray(floats_at(panels), (count, width, PANEL))
    for row in range(rows):
        numbers = carray(floats_at(source + row * stride), (width,))
        for channel in range(width):
            target[row // PANEL, channel, row % PANEL] = numbers[channel]
    for row in range(rows, count * PANEL):
        for channel in range(width):
            target[row // PANEL, channel, row % PANEL] = 0


@compiled
def part_into_panels(source, stride, rows, width, panels):
    """Copy rows [rows, width], `stride` bytes apart, into panels [width / 16, rows, 16]."""
    target = carray(floats_at(panels), (width // PANEL, rows, PANEL))
    for row in range(rows):
        numbers = carray(floats_at(source + row * stride), (width,))
        for part in range(width // PANEL):
            for channel in range(PANEL):
                target[part, row, channel] = numbers[part * PANEL + channel]
