"""Compilation of the kernels by numba: how, where to, when, and on which machines it pays."""
