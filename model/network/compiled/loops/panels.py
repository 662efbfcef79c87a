"""Products of rows with panels: 16 columns whose numbers lie side by side, four rows at a time, float32.

A panel stays in a core's nearest cache while rows pass by, and eight sums at once keep its adders busy. Sums have one
order however many rows and panels there are. Called by compiled code alone; addresses are numbers.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from model.network.compiled.compilation.jit import compiled
from model.network.compiled.loops.emitter import F32, I64, LANES, Emitter, vector
from model.network.compiled.loops.numbers import floats_at
from model.network.compiled.loops.sizes import PANEL, ROWS

PANEL_BYTES = 4 * PANEL
_FLOATS = vector(F32, LANES)
_VECTOR_BYTES = 4 * LANES
_LINE = 64  # bytes of a cache line
_UNROLLED = 4  # steps of a loop written out: counting up is then a small part of it
# How 8 rows become 8 columns: which two are mixed, where the halves go, and what either takes of the two.
_TURNS = (
    (
        [(row, row + 1, row, row + 1) for row in range(0, 8, 2)],
        (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15),
    ),
    (
        [(four + odd, four + odd + 2, four + 2 * odd, four + 2 * odd + 1) for four in (0, 4) for odd in (0, 1)],
        (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15),
    ),
    ([(row, row + 4, row, row + 4) for row in range(4)], (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)  # fmt: skip


def _four_rows(e: Emitter, a: tuple[Any, Any], b: tuple[Any, Any], k, sums: list[list[Any]]) -> None:
    """Add products of 4 rows of k floats with a panel of k rows to sums; both are an address and bytes between rows."""
    starts = [e.at(a[0], e.times(a[1], row)) for row in range(ROWS)]

    def add(index, count: int) -> None:
        at = e.at(b[0], e.builder.mul(index, b[1]))
        for number in range(count):
            read = [e.load(e.at(at, e.times(b[1], number), half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
            for row, start in zip(sums, starts, strict=True):
                factor = e.splat(e.load(e.at(start, e.times(index, 4), 4 * number), F32))
                for place, columns in zip(row, read, strict=True):
                    e.fma_to(place, factor, columns)

    whole = e.times(e.builder.sdiv(k, e.number(_UNROLLED)), _UNROLLED)
    with cgutils.for_range_slice(e.builder, e.number(0), whole, e.number(_UNROLLED), intp=I64) as (index, _):
        add(index, _UNROLLED)
    with cgutils.for_range_slice(e.builder, whole, k, e.number(1), intp=I64) as (index, _):
        add(index, 1)


def _places(e: Emitter) -> list[list[Any]]:
    return [[e.variable(_FLOATS) for _ in range(2)] for _ in range(ROWS)]


def _halves(e: Emitter, out, out_stride, panel) -> list[list[Any]]:
    """Return where the sums of a panel go."""
    first = e.at(out, e.times(panel, PANEL_BYTES))
    return [[e.at(first, e.times(out_stride, row), half * _VECTOR_BYTES) for half in range(2)] for row in range(ROWS)]


@intrinsic
def multiply_panels(typing_context, a, a_stride, b, k, panels, scales, out, out_stride):
    """Multiply 4 rows of k floats, `a_stride` bytes apart, by panels [panels, k, 16], times a scale for each row."""

    def generate(context, builder, signature, arguments):
        a, a_stride, b, k, panels, scales, out, out_stride = arguments
        e = Emitter(builder)
        sums = _places(e)
        with cgutils.for_range(builder, panels, intp=I64) as panel:
            for place in (place for row in sums for place in row):
                builder.store(ir.Constant(_FLOATS, None), place)
            first = e.at(b, builder.mul(panel.index, e.times(k, PANEL_BYTES)))
            _four_rows(e, (a, a_stride), (first, e.number(PANEL_BYTES)), k, sums)
            for number, (row, targets) in enumerate(zip(sums, _halves(e, out, out_stride, panel.index), strict=True)):
                scale = e.splat(e.load(e.at(scales, 4 * number), F32))
                for place, target in zip(row, targets, strict=True):
                    e.store(target, builder.fmul(builder.load(place), scale))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def multiply_four_rows(typing_context, a, a_stride, panel, k, bias, out, out_stride, added):
    """Multiply 4 rows of k floats by one panel [k, 16], plus biases [16]; 1 to add it to what is there."""

    def generate(context, builder, signature, arguments):
        a, a_stride, panel, k, bias, out, out_stride, added = arguments
        e = Emitter(builder)
        sums = _places(e)
        _four_rows(e, (a, a_stride), (panel, e.number(PANEL_BYTES)), k, sums)
        biases = [e.load(e.at(bias, half * _VECTOR_BYTES), _FLOATS) for half in range(2)]
        pairs = [*zip(sums, _halves(e, out, out_stride, e.number(0)), strict=True)]
        with builder.if_else(builder.icmp_signed("!=", added, e.number(0))) as branches:
            for branch, adds in zip(branches, (True, False), strict=True):
                with branch:
                    for row, targets in pairs:
                        for place, target, own in zip(row, targets, biases, strict=True):
                            value = builder.fadd(builder.load(place), own)
                            e.store(target, builder.fadd(value, e.load(target, _FLOATS)) if adds else value)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def continue_four_rows(typing_context, a, a_stride, panel, k, start, start_stride, out, out_stride):
    """Add products of 4 rows of k floats with one panel [k, 16] to 4 rows [16] at `start`, and write the sums to `out`.

    Rows of the start may be one and the same, 0 bytes apart.
    """

    def generate(context, builder, signature, arguments):
        a, a_stride, panel, k, start, start_stride, out, out_stride = arguments
        e = Emitter(builder)
        sums, none = _places(e), e.number(0)
        for row, starts in zip(sums, _halves(e, start, start_stride, none), strict=True):
            for place, source in zip(row, starts, strict=True):
                builder.store(e.load(source, _FLOATS), place)
        _four_rows(e, (a, a_stride), (panel, e.number(PANEL_BYTES)), k, sums)
        for row, targets in zip(sums, _halves(e, out, out_stride, none), strict=True):
            for place, target in zip(row, targets, strict=True):
                e.store(target, builder.load(place))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def add_products(typing_context, a, a_stride, b, b_stride, k, panels, out, out_stride):
    """Add products of 4 rows of k floats with rows [k, 16 * panels], where they lie, to what is at `out`."""

    def generate(context, builder, signature, arguments):
        a, a_stride, b, b_stride, k, panels, out, out_stride = arguments
        e = Emitter(builder)
        sums = _places(e)
        with cgutils.for_range(builder, panels, intp=I64) as panel:
            pairs = [*zip(sums, _halves(e, out, out_stride, panel.index), strict=True)]
            for row, targets in pairs:
                for place, target in zip(row, targets, strict=True):
                    builder.store(e.load(target, _FLOATS), place)
            first = e.at(b, e.times(panel.index, PANEL_BYTES))
            _four_rows(e, (a, a_stride), (first, b_stride), k, sums)
            for row, targets in pairs:
                for place, target in zip(row, targets, strict=True):
                    e.store(target, builder.load(place))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@intrinsic
def _ask_for(typing_context, address):
    """Ask for a cache line that will be read soon; any address will do."""

    def generate(context, builder, signature, arguments):
        Emitter(builder).prefetch(arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@compiled
def ask_for(address, size, part, parts):
    """Ask for one of equal parts of so many bytes, which will be read soon."""
    for place in range(size * part // parts, size * (part + 1) // parts, _LINE):
        _ask_for(address + place)


@intrinsic
def _turn_square(typing_context, source, stride, target):
    """Copy 8 rows of 8 floats, `stride` bytes apart, to columns of 8 rows of a panel."""

    def generate(context, builder, signature, arguments):
        source, stride, target = arguments
        e = Emitter(builder)
        rows = [e.load(e.at(source, e.times(stride, row)), _FLOATS) for row in range(LANES)]
        for pairs, low, high in _TURNS:
            turned = rows.copy()
            for first, second, to_low, to_high in pairs:
                turned[to_low], turned[to_high] = (e.shuffle(rows[first], rows[second], each) for each in (low, high))
            rows = turned
        for number, row in enumerate(rows):
            e.store(e.at(target, number * PANEL_BYTES), row)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@compiled
def turn_to_panels(source, stride, rows, width, panels):
    """Copy rows [rows, width], `stride` bytes apart, into panels [rows / 16, width, 16], of which each row is a column.

    The last panel is filled up with zeros.
    """
    count = (rows + PANEL - 1) // PANEL
    target = carray(floats_at(panels), (count, width, PANEL))
    whole, part = rows // LANES * LANES, width // LANES * LANES
    for row in range(0, whole, LANES):
        column = panels + row // PANEL * width * PANEL_BYTES + row % PANEL * 4
        for channel in range(0, part, LANES):
            _turn_square(source + row * stride + channel * 4, stride, column + channel * PANEL_BYTES)
    for row in range(rows):
        numbers = carray(floats_at(source + row * stride), (width,))
        for channel in range(part if row < whole else 0, width):
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


def panels_of(weight: Tensor) -> Tensor:
    """Lay out weights [out, in], `out` a multiple of 16, as panels [out / 16, in, 16]."""
    return weight.view(-1, PANEL, weight.shape[1]).transpose(1, 2).contiguous()
