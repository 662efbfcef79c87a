"""The C library's allocator, told to give large pieces of freed memory back to the system at once.

Knows glibc only; elsewhere nothing is done. Call it first thing in a process.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024**2


def return_freed_memory() -> bool:
    """Have every allocation from 1 MiB on mapped by itself, so that freeing it returns it; False if that is not known.

    By default glibc learns from the first large piece that is freed to keep such pieces, up to 32 MiB each, in its
    heaps, where a small one behind them holds them for ever.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
