"""Checks and timings of the fast path on a GPU, each a named item that may fail without taking others with it."""
