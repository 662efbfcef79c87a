"""Naive twin: the plain algorithm that the fast path is compared with, and its answers."""
