"""The kernels' tests for a processor with VNNI, whose instruction is written by hand, so that any processor runs them.

Run by `test_processors.py` in a process of its own.
"""

from __future__ import annotations

from model.network.compiled.loops import emitter


def _byte_quads(self, sums, unsigned, signed):
    """Do what vpdpbusd does: exact sums of four products, with nothing between that could overflow."""
    bytes_ = emitter.vector(emitter.I8, 32)
    left, right = (self.builder.bitcast(part, bytes_) for part in (unsigned, signed))
    for place in range(4):
        lanes = range(place, 32, 4)
        wide = emitter.vector(emitter.I32, 8)
        first = self.builder.zext(self.shuffle(left, left, lanes), wide)
        second = self.builder.sext(self.shuffle(right, right, lanes), wide)
        sums = self.builder.add(sums, self.builder.mul(first, second))
    return sums


emitter.HAS_VNNI = True
emitter.Emitter.byte_quads = _byte_quads

from tests.model.network.compiled.test_kernels import *  # noqa: E402, F403
