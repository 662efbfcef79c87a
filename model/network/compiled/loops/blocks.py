"""Products of blocks of weights, 8 outputs wide, with one to four rows of inputs: the innermost loops.

Weights are unsigned bytes around 128 (int8) or nibbles around 8 (int4), inputs are signed bytes, so that one
instruction of VNNI or AVX2 multiplies them; what the middle adds is known from the sum of the inputs, and is taken off.
Integer sums are exact, and floats are added in one order: a row says the same alone and beside others. Weights in
float32 are multiplied with inputs as they are. Layouts are those of `packing`. Called by `products` alone.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from model.network.compiled.loops.emitter import F32, HAS_VNNI, I8, I16, I32, I64, LANES, Emitter, vector
from model.network.compiled.packing import BLOCK_OUTPUTS, GROUP

_UNROLLED = 2  # steps of 4 inputs in one turn of int8's loop
_VECTOR_BYTES = 32
_SCALE_BYTES = 2 * BLOCK_OUTPUTS  # of one group, in bfloat16
_INTS, _FLOATS = vector(I32, LANES), vector(F32, LANES)


def _block(rows: int, multiply: Any) -> Any:
    """Return the function that multiplies a block with so many rows of inputs.

    Its arguments are addresses, but for two: weights; inputs as bytes, and as 16 bits, rows of k; k, the number of
    inputs; scales of the outputs (int8); bias; scale of each row; sums of each row's inputs, whole (int8) or in groups;
    where 8 outputs of the first row go, and from row to row how many bytes on; 1 to add them to what is there.
    """

    @intrinsic
    def product(typing_context, weights, x8, x16, k, scales, bias, row_scales, row_sums, out, out_stride, accumulate):
        def generate(context, builder, signature, arguments):
            emitter = Emitter(builder)
            *inputs, bias, row_scales, row_sums, out, out_stride, accumulate = arguments
            for row, sums in enumerate(multiply(emitter, rows, row_sums, *inputs)):
                scale = emitter.splat(emitter.load(emitter.at(row_scales, 4 * row), F32))
                value = builder.fadd(builder.fmul(sums, scale), emitter.load(bias, _FLOATS))
                _write(emitter, emitter.at(out, emitter.times(out_stride, row)), value, accumulate)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 11), generate

    return product


def _write(e: Emitter, place, value, accumulate) -> None:
    """Store 8 floats, or add them to what is there."""
    is_added = e.builder.icmp_signed("!=", accumulate, e.number(0))
    with e.builder.if_else(is_added) as (added, written):
        with added:
            e.store(place, e.builder.fadd(value, e.load(place, _FLOATS)))
        with written:
            e.store(place, value)


def _floats(rows: int, blocks: int) -> Any:
    """Return the function that multiplies neighbouring blocks of float32 weights with so many rows of inputs.

    A row's sums are those over its even and over its odd inputs, however many rows and blocks there are: several of
    either keep the processor's adders busy. Arguments are as in `_block`, inputs being rows of k floats.
    """

    @intrinsic
    def product(typing_context, weights, block_bytes, x, k, bias, out, out_stride, accumulate):
        def generate(context, builder, signature, arguments):
            weights, block_bytes, x, k, bias, out, out_stride, accumulate = arguments
            e = Emitter(builder)
            sums = [[[e.variable(_FLOATS) for _ in range(2)] for _ in range(blocks)] for _ in range(rows)]
            starts = [e.at(weights, e.times(block_bytes, block)) for block in range(blocks)]
            with cgutils.for_range(builder, builder.sdiv(k, e.number(2)), intp=I64) as loop:
                for odd in range(2):
                    at = e.times(loop.index, 2 * _VECTOR_BYTES)
                    read = [e.load(e.at(start, at, odd * _VECTOR_BYTES), _FLOATS) for start in starts]
                    for row in range(rows):
                        own = e.at(x, e.times(k, 4 * row), e.times(loop.index, 8), 4 * odd)
                        number = e.splat(e.load(own, F32))
                        for block in range(blocks):
                            e.fma_to(sums[row][block][odd], number, read[block])
            for row in range(rows):
                for block in range(blocks):
                    both = builder.fadd(*(builder.load(place) for place in sums[row][block]))
                    value = builder.fadd(both, e.load(e.at(bias, block * _VECTOR_BYTES), _FLOATS))
                    _write(e, e.at(out, e.times(out_stride, row), block * _VECTOR_BYTES), value, accumulate)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return product


def _int8(e: Emitter, rows: int, row_sums, weights, x8, x16, k, scales) -> list[Any]:
    """Emit the sums of an int8 block, times its outputs' scales, for each row [8]."""
    b = e.builder
    add = _add_quads if HAS_VNNI else _add_pairs
    places = [[e.variable(_INTS) for _ in range(1 if HAS_VNNI else 2)] for _ in range(rows)]
    steps = b.sdiv(k, e.number(4 * _UNROLLED))
    with cgutils.for_range(b, steps, intp=I64) as loop:
        for part in range(_UNROLLED):
            step = b.add(e.times(loop.index, _UNROLLED), e.number(part))
            at = e.at(weights, e.times(step, _VECTOR_BYTES))
            add(e, places, at, e.at(x8, e.times(step, 4)), e.at(x16, e.times(step, 8)), k)
    found = []
    for row, parts in enumerate(places):
        middle = b.mul(e.load(e.at(row_sums, 4 * row), I32), ir.Constant(I32, 128))
        sums = b.load(parts[0])
        if len(parts) == 2:
            pair = sums, b.load(parts[1])
            sums = b.add(e.shuffle(*pair, range(0, 16, 2)), e.shuffle(*pair, range(1, 16, 2)))
        exact = b.sub(sums, e.splat(middle))
        found.append(b.fmul(b.sitofp(exact, _FLOATS), e.load(scales, _FLOATS)))
    return found


def _add_quads(e: Emitter, places, weights, x8, x16, k) -> None:
    """Add 4 inputs of each row times 8 outputs' weights."""
    unsigned = e.load(weights, vector(I8, _VECTOR_BYTES))
    for row, (place,) in enumerate(places):
        signed = e.splat(e.load(e.at(x8, e.times(k, row)), I32))
        e.builder.store(e.byte_quads(e.builder.load(place), unsigned, signed), place)


def _add_pairs(e: Emitter, places, weights, x8, x16, k) -> None:
    """Do as `_add_quads` in 16 bits, where products of such bytes and their sums fit."""
    halves = [e.builder.zext(e.load(e.at(weights, 16 * half), vector(I8, 16)), vector(I16, 16)) for half in range(2)]
    for row, sums in enumerate(places):
        quad = e.splat(e.load(e.at(x16, e.times(k, 2 * row)), I64), 4)
        signed = e.builder.bitcast(quad, vector(I16, 16))
        for place, half in zip(sums, halves, strict=True):
            e.add_to(place, e.sums_of_pairs(half, signed))


def _int4(e: Emitter, rows: int, row_sums, weights, x8, x16, k, scales) -> list[Any]:
    """Emit the sums of an int4 block, each group's times its scales, for each row [8]; scales are among the weights."""
    b = e.builder
    places = [e.variable(_FLOATS) for _ in range(rows)]
    groups = b.sdiv(k, e.number(GROUP))
    with cgutils.for_range(b, groups, intp=I64) as loop:
        at = e.at(weights, e.times(loop.index, BLOCK_OUTPUTS * GROUP // 2 + _SCALE_BYTES))
        inputs = e.at(x8, e.times(loop.index, GROUP))
        short = b.zext(e.load(at, vector(I16, LANES)), _INTS)
        group_scales = b.bitcast(b.shl(short, e.constant(I32, LANES, 16)), _FLOATS)
        totals = _group(e, rows, e.at(at, _SCALE_BYTES), inputs, k)
        for row, total in enumerate(totals):
            known = e.at(row_sums, e.times(e.times(groups, 4), row), e.times(loop.index, 4))
            middle = b.mul(e.load(known, I32), ir.Constant(I32, 8))
            e.fma_to(places[row], b.sitofp(b.sub(total, e.splat(middle)), _FLOATS), group_scales)
    return [b.load(place) for place in places]


def _group(e: Emitter, rows: int, weights, inputs, k) -> list[Any]:
    """Emit one group's integer sums for each row [8]."""
    totals: list[Any] = [e.constant(I32, LANES, 0)] * rows
    ones = e.constant(I16, 16, 1)
    for first in range(0, GROUP, 32):  # of whose byte pairs 8 sums fit into 16 bits: 15 * 127 * 2 * 8
        sums: list[Any] = [e.constant(I16, 16, 0)] * rows
        for eight in range(first, first + 32, 8):
            for offset, nibbles in zip((0, 4), _nibbles(e, e.at(weights, eight * BLOCK_OUTPUTS // 2)), strict=True):
                for row in range(rows):
                    four = e.splat(e.load(e.at(inputs, e.times(k, row), eight + offset), I32))
                    if HAS_VNNI:
                        totals[row] = e.byte_quads(totals[row], nibbles, four)
                    else:
                        signed = e.builder.bitcast(four, vector(I8, _VECTOR_BYTES))
                        sums[row] = e.builder.add(sums[row], e.byte_pairs(nibbles, signed))
        if not HAS_VNNI:
            totals = [e.builder.add(total, e.sums_of_pairs(own, ones)) for total, own in zip(totals, sums, strict=True)]
    return totals


def _nibbles(e: Emitter, at) -> tuple[Any, Any]:
    """Load 32 bytes and return their low and their high halves as bytes."""
    both, low = e.load(at, vector(I8, _VECTOR_BYTES)), e.constant(I8, _VECTOR_BYTES, 15)
    words = e.builder.lshr(e.builder.bitcast(both, vector(I16, 16)), e.constant(I16, 16, 4))
    high = e.builder.bitcast(words, vector(I8, _VECTOR_BYTES))
    return e.builder.and_(both, low), e.builder.and_(high, low)


int8_1, int8_2, int8_3, int8_4 = (_block(rows, _int8) for rows in (1, 2, 3, 4))
int4_1, int4_2, int4_3, int4_4 = (_block(rows, _int4) for rows in (1, 2, 3, 4))
floats_1x4, floats_1, floats_2, floats_3, floats_4 = (
    _floats(*sizes) for sizes in ((1, 4), (1, 1), (2, 1), (3, 1), (4, 1))
)  # fmt: skip
