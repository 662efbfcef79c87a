"""Decode step on a CPU as one compiled call, built by numba for the processor at hand and run by its threads together.

The kernels are loops over vectors of 256 bits, written with LLVM's instructions where numba has no words for them.
Their naive twin is the same step in torch (`model/network/decoder.py`).
"""
