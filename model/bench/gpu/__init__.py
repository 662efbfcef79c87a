"""Checks and timings of the fast path on a GPU: named items, each of which may fail without stopping the others."""
