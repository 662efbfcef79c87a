"""The benchmark: the fast path against the naive twin and against what the machine can do, in one run."""
