"""LLVM instructions on vectors of 256 bits, which numba's Python has no words for.

Owns what differs between processors: products of bytes by AVX2 or VNNI where there is one, else by plain instructions
that every processor has. Knows no kernels. Used while kernels are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils

LANES = 8  # numbers of 32 bits in a vector
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32 = ir.FloatType()


def vector(element: Any, count: int) -> Any:
    """Return the type of a vector of `count` elements."""
    return ir.VectorType(element, count)


def processor_features() -> frozenset[str]:
    """Return the features that numba compiles for: this processor's, or those of NUMBA_CPU_FEATURES."""
    told = numba.config.CPU_FEATURES
    features = llvm.get_host_cpu_features().flatten() if told is None else told
    return frozenset(feature[1:] for feature in features.split(",") if feature.startswith("+"))


_FEATURES = processor_features()
HAS_AVX2 = "avx2" in _FEATURES
HAS_VNNI = {"avx512vnni", "avx512vl"} <= _FEATURES or "avxvnni" in _FEATURES


class Emitter:
    """Builder of instructions around llvmlite's; addresses are numbers of 64 bits."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def number(self, value: int) -> Any:
        """Return a constant of 64 bits."""
        return ir.Constant(I64, value)

    def constant(self, element: Any, count: int, value: float) -> Any:
        """Return a vector of one constant."""
        return ir.Constant(vector(element, count), [value] * count)

    def at(self, base: Any, *offsets: Any) -> Any:
        """Return an address some bytes behind another."""
        for offset in offsets:
            base = self.builder.add(base, self.number(offset) if isinstance(offset, int) else offset)
        return base

    def times(self, value: Any, factor: int) -> Any:
        """Multiply a number of 64 bits by a constant."""
        return self.builder.mul(value, self.number(factor))

    def load(self, address: Any, kind: Any) -> Any:
        """Load from any address, aligned or not."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=1)

    def prefetch(self, address: Any) -> None:
        """Ask for a cache line that will be read soon; any address will do."""
        place = self.builder.inttoptr(address, I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [place, I32(0), I32(3), I32(1)])

    def store(self, address: Any, value: Any) -> None:
        """Store at any address, aligned or not."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=1)

    def shuffle(self, first: Any, second: Any, indices: Sequence[int]) -> Any:
        """Pick elements of two vectors, those of the second counted on."""
        return self.builder.shuffle_vector(first, second, ir.Constant(vector(I32, len(indices)), list(indices)))

    def splat(self, value: Any, count: int = LANES) -> Any:
        """Return a vector of one value."""
        nothing = ir.Constant(vector(value.type, count), ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(I32, 0))
        return self.shuffle(one, nothing, [0] * count)

    def call(self, name: str, returned: Any, *arguments: Any) -> Any:
        """Call an intrinsic of LLVM."""
        kind = ir.FunctionType(returned, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def variable(self, kind: Any) -> Any:
        """Return a variable that begins at zero."""
        place = cgutils.alloca_once(self.builder, kind)
        self.builder.store(ir.Constant(kind, None), place)
        return place

    def add_to(self, place: Any, value: Any) -> None:
        """Add whole numbers to a variable."""
        self.builder.store(self.builder.add(self.builder.load(place), value), place)

    def fma_to(self, place: Any, first: Any, second: Any) -> None:
        """Add a product of floats to a variable, rounded once."""
        self.builder.store(self.fma(first, second, self.builder.load(place)), place)

    def fma(self, first: Any, second: Any, addend: Any) -> Any:
        """Return a product of floats and a sum, rounded once."""
        return self.call("llvm.fma.v8f32", vector(F32, LANES), first, second, addend)

    def bf16_halves(self, pairs: Any) -> tuple[Any, Any]:
        """Return the even and the odd ones of 16 numbers in bfloat16, which come as 8 whole numbers, as floats."""
        even = self.builder.shl(pairs, self.constant(I32, LANES, 16))
        odd = self.builder.and_(pairs, self.constant(I32, LANES, -65536))
        floats = vector(F32, LANES)
        return self.builder.bitcast(even, floats), self.builder.bitcast(odd, floats)

    def sums_of_pairs(self, first: Any, second: Any) -> Any:
        """Multiply 16 numbers of 16 bits by 16 others and add up neighbours, 32 bits [8]."""
        if HAS_AVX2:
            return self.call("llvm.x86.avx2.pmadd.wd", vector(I32, LANES), first, second)
        even, odd = range(0, 16, 2), range(1, 16, 2)

        def wide(whole: Any, places: range) -> Any:
            return self.builder.sext(self.shuffle(whole, whole, places), vector(I32, LANES))

        products = [self.builder.mul(wide(first, places), wide(second, places)) for places in (even, odd)]
        return self.builder.add(*products)

    def byte_pairs(self, unsigned: Any, signed: Any) -> Any:
        """Multiply 32 unsigned bytes by 32 signed ones and add up neighbours, 16 bits [16]; sums must fit."""
        if HAS_AVX2:
            return self.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), unsigned, signed)
        even, odd = range(0, 32, 2), range(1, 32, 2)

        def product(places: range) -> Any:
            left = self.builder.zext(self.shuffle(unsigned, unsigned, places), vector(I16, 16))
            right = self.builder.sext(self.shuffle(signed, signed, places), vector(I16, 16))
            return self.builder.mul(left, right)

        return self.builder.add(product(even), product(odd))

    def byte_quads(self, sums: Any, unsigned: Any, signed: Any) -> Any:
        """Multiply 32 unsigned bytes by 32 signed ones and add fours of them to 8 sums; VNNI only."""
        words = vector(I32, LANES)
        left, right = (self.builder.bitcast(part, words) for part in (unsigned, signed))
        return self.call("llvm.x86.avx512.vpdpbusd.256", words, sums, left, right)
