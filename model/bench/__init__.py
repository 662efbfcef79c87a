"""Benchmark of the fast path against the naive twin and against the limits of the machine, in one run."""
