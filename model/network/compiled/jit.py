"""Compilation by numba: how every kernel is compiled, and where the entry points are kept from one start to the next.

An entry point takes tens of seconds to compile and a tenth of one to load. What is kept is for this processor, this
numba and these sources: numba looks at the entry point's own file alone, so the folder's name is a digest of all files
beside it.
"""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"
from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

compiled: Callable[..., Any] = njit(error_model="numpy", nogil=True)
inlined: Callable[..., Any] = njit(error_model="numpy", inline="always")
# Of a function whose sums are added up eight at a time: in another order than they are written, but always in that.
in_any_order: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "contract", "nsz"})
# Likewise of one that looks for the largest, who has made sure that all are numbers.
of_numbers: Callable[..., Any] = njit(error_model="numpy", nogil=True, fastmath={"reassoc", "nnan", "nsz"})


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep it on disk if there is a folder to keep it in."""
    folder = cache_folder()
    if folder is None:
        return njit(error_model="numpy", nogil=True)(function)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        return njit(error_model="numpy", nogil=True, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder for compiled code: in NUMBA_CACHE_DIR or the user's cache; None if it cannot be written."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    try:
        base = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "pheye" / "kernels" / digest
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return folder if os.access(folder, os.W_OK) else None
