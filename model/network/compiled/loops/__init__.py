"""Innermost loops of the compiled kernels: on vectors, blocks of weights, keys and values in place, single rows."""
