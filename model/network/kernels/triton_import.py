"""Triton where it is installed and of use, and the types in which it multiplies.

Its import takes a third of a second, which a worker on a CPU has no use for: without a GPU it is imported only for its
interpreter. Without it kernels are defined as plain functions that nobody can call. Any thread may import this.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import torch


def _imported() -> tuple[Any, Any]:
    """Return Triton and its language, or None twice."""
    if not (torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1" or "triton" in sys.modules):
        return None, None
    try:
        return import_module("triton"), import_module("triton.language")
    except ModuleNotFoundError:  # torch for CPUs comes without it
        return None, None


def _as_it_is(given: Any) -> Any:
    return given


triton, tl = _imported()
jit: Any = _as_it_is if triton is None else triton.jit
constexpr: Any = _as_it_is if triton is None else tl.constexpr

__all__ = ["DOT_TYPES", "INSTALLED", "INTERPRETED", "LOG2_E", "constexpr", "jit", "tl", "triton"]

INSTALLED = triton is not None
INTERPRETED = INSTALLED and type(tl.max).__name__ == "InterpretedFunction"  # by TRITON_INTERPRET=1, when it is imported
LOG2_E = 1.4426950408889634  # the hardware raises 2 to a power, not e

# Types of the operands of a matrix product; sums are always float32.
DOT_TYPES: dict[torch.dtype, Any] = {}
if INSTALLED:
    DOT_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
if INTERPRETED:
    DOT_TYPES[torch.bfloat16] = tl.float32  # the interpreter takes bfloat16 for whole numbers when it multiplies
