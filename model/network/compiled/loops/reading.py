"""Products of one query with keys, and of weights with values, where keys and values lie: attention's innermost loops.

Keys and values are float32 or bfloat16; queries and sums are float32. Bfloat16 comes 16 numbers at once, the even ones
apart from the odd ones, and so do queries and sums then (`attention._part`). Called by `attention` alone.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from model.network.compiled.loops.emitter import F32, I32, I64, LANES, Emitter, vector
from model.network.compiled.loops.sizes import CHANNELS

_AHEAD = 1024  # bytes behind what is read, asked for early: the processor alone looks less far ahead here
_TOGETHER = 8  # keys
_FLOATS, _PAIRS = vector(F32, LANES), vector(I32, LANES)
_VECTOR_BYTES = 32
_NEIGHBOURS = (0, 2, 8, 10, 4, 6, 12, 14)


def _vectors(e: Emitter, at, wide: bool) -> list[Any]:
    """Load 16 numbers of either kind as two vectors of floats."""
    if wide:
        return [e.load(e.at(at, _VECTOR_BYTES * half), _FLOATS) for half in range(2)]
    return list(e.bf16_halves(e.load(at, _PAIRS)))


def _sums(e: Emitter, parts: list[Any]) -> Any:
    """Return the sums over each of 8 vectors as one vector."""
    for _ in range(2):  # neighbours within each half, for which there is an instruction
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [
            e.builder.fadd(*(e.shuffle(*pair, [at + odd for at in _NEIGHBOURS]) for odd in (0, 1))) for pair in pairs
        ]
    first, second = parts
    halves = [e.shuffle(first, second, places) for places in ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))]
    return e.builder.fadd(*halves)


def _scores(wide: bool) -> Any:
    @intrinsic
    def scores(typing_context, query, keys, stride, width, count, scale, out):
        """Write products of a query with 8 * count keys, `stride` bytes apart, times a scale, as floats at `out`."""

        def generate(context, builder, signature, arguments):
            query, keys, stride, width, count, scale, out = arguments
            e = Emitter(builder)
            places = [e.variable(_FLOATS) for _ in range(_TOGETHER)]
            with cgutils.for_range(builder, count, intp=I64) as eight:
                for place in places:
                    builder.store(ir.Constant(_FLOATS, None), place)
                first = e.at(keys, builder.mul(e.times(eight.index, _TOGETHER), stride))
                with cgutils.for_range(builder, builder.sdiv(width, e.number(16)), intp=I64) as part:
                    own = _vectors(e, e.at(query, e.times(part.index, 64)), wide=True)
                    key = e.at(first, e.times(part.index, 64 if wide else 32))
                    for place in places:
                        e.prefetch(e.at(key, _AHEAD))
                        for left, right in zip(own, _vectors(e, key, wide), strict=True):
                            e.fma_to(place, left, right)
                        key = e.at(key, stride)
                found = _sums(e, [builder.load(place) for place in places])
                e.store(e.at(out, e.times(eight.index, _VECTOR_BYTES)), builder.fmul(found, e.splat(scale)))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5, types.float32, types.int64), generate

    return scores


def _weighted(wide: bool) -> Any:
    @intrinsic
    def weighted(typing_context, weights, values, stride, width, count, out):
        """Add `count` values at `values`, `stride` bytes apart, times their weights, to the floats at `out`."""

        def generate(context, builder, signature, arguments):
            weights, values, stride, width, count, out = arguments
            e = Emitter(builder)
            places = [e.variable(_FLOATS) for _ in range(4)]
            with cgutils.for_range(builder, builder.sdiv(width, e.number(CHANNELS)), intp=I64) as part:
                sums = e.at(out, e.times(part.index, 4 * CHANNELS))
                for number, place in enumerate(places):
                    builder.store(e.load(e.at(sums, _VECTOR_BYTES * number), _FLOATS), place)
                first = e.at(values, e.times(part.index, (4 if wide else 2) * CHANNELS))
                with cgutils.for_range(builder, count, intp=I64) as loop:
                    weight = e.splat(e.load(e.at(weights, e.times(loop.index, 4)), F32))
                    value = e.at(first, builder.mul(loop.index, stride))
                    e.prefetch(e.at(value, _AHEAD))
                    read = [*_vectors(e, value, wide), *_vectors(e, e.at(value, 64 if wide else 32), wide)]
                    for place, numbers in zip(places, read, strict=True):
                        e.fma_to(place, weight, numbers)
                for number, place in enumerate(places):
                    e.store(e.at(sums, _VECTOR_BYTES * number), builder.load(place))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return weighted


scores_of_floats, scores_of_bf16 = _scores(wide=True), _scores(wide=False)
weighted_floats, weighted_bf16 = _weighted(wide=True), _weighted(wide=False)
